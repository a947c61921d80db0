"""A model of topics: their real code between fake hubs and links, in every order of what can happen, beside
a history that says who must have heard what.

The ring inside of ``tests/hub/topics``, which has real hubs.
"""
