"""Where a fresh connection goes: accepted here, given to another hub, waiting, or refused."""
