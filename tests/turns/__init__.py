"""The model of turns: random services, clients and moves, against a reference: docs/evidence/turns.md."""
