"""Actors: their mailboxes, the turns that run, and what runs them."""
