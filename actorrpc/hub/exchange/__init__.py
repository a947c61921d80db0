"""Calls of actors that are found by a key, wherever their callers and they live: both ends, and the way
between.

``outgoing`` is the caller's end, ``answers`` and ``incoming`` are the actor's. ``exchange`` joins those
of one hub, and says to other hubs what they have to hear. Nothing here knows what a caller or an actor is
made of.
"""
