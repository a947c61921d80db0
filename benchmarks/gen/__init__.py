"""Generated from bench.proto; README.md says how."""
