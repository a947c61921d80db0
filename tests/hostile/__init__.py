"""Attacks on a real hub, beside a well-behaved client."""
