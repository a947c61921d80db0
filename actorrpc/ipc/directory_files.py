"""Where the directory of keyed actors has its files: the broker makes the folder and the journal, and hubs
the rest (``actorrpc.hub.directory``)."""

from __future__ import annotations

__all__ = ["FOLDER", "JOURNAL"]

#: In the runtime directory.
FOLDER = "directory"
#: In the folder: empty at first.
JOURNAL = "journal"
