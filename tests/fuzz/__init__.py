"""Clients that nobody planned, and a model that says what a server owes each of them: docs/fuzzing.md."""
