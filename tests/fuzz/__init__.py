"""Clients that nobody planned, and a model of what a server owes each of them: docs/evidence/fuzzing.md."""
