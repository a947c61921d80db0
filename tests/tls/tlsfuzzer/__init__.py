"""Runs scripts of tlsfuzzer, which is no part of this project: see docs/evidence/tls.md."""
