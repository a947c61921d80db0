"""Hubs that say nothing, and what hubs do: how the broker learns of it, and whom it tells.

``hangs`` reports and kills, ``stacks`` answers `actorrpc stacks`. Both know a hub's process as
``process.Watched``, and where it is by ``dumps``.
"""
