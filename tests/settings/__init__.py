"""What a setting is, and where it is told."""
