"""Topics: publishing, and subscriptions that are cursors, with homes among the hubs of one server."""
