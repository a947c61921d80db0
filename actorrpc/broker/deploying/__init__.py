"""Other processes in place of those that serve, with all that these have: reload, drain, scale, and signals
to one hub."""
