"""The processes of hubs, as the broker has them: each process, and the slot that it has while it lives."""
