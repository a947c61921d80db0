"""The model of turns: random services, clients and moves, against a plain reference: docs/guide/turns.md."""
