"""Policies as tables, the simulation, and its command line."""
