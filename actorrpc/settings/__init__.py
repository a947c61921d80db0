"""Settings: what is said of each, once (``setting``), what it may be (``values``), and where it is told: on
the command line, in the environment, in a file (``told``). Flags, checks, messages and documents are made of
it."""

from actorrpc.settings.setting import Setting, optional, setting
from actorrpc.settings.sources import File, read_file
from actorrpc.settings.told import Options, Origin, resolve

__all__ = ["File", "Options", "Origin", "Setting", "optional", "read_file", "resolve", "setting"]
