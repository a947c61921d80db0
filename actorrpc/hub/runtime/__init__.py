"""What code of an app runs on in a hub process, and what keeps it from stopping or ending that."""
