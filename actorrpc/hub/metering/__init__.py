"""What connections, topics and messages take of a hub, in seconds and bytes."""
