"""Actors of this hub's connections, as those that other actors call by reference.

``connected`` are they, ``any_actor`` joins them with the keyed ones. Where a connection is that is not here:
``actorrpc.hub.search``.
"""
