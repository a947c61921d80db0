"""The tests. ``tests/rings.py`` says which are quick, and which go side by side."""
