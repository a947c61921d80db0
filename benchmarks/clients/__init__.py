"""Clients that make a load: programs of their own, written by others wherever possible."""
