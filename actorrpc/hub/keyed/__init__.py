"""Keyed actors of one hub: each the one of its service and key in the whole server, and called from anywhere.

``activation`` is one of them while it lives here, ``activations`` are all. Where each one lives says
``actorrpc.hub.directory``, and how calls come here ``actorrpc.hub.exchange``.
"""
