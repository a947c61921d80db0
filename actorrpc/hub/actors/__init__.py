"""Actors, and services without state: their mailboxes, when their turns run and how, and what they ask for.

For a connection: ``cells`` has its actors, ``schedule`` runs their turns, ``service_host`` is what they
ask. For whatever else may carry actors: ``stage``. A cell is in three files: ``mailbox`` (what waits),
``call_turns`` (what is done for calls) and ``cell`` (the instance and its hooks).
"""
