"""What the processes of hubs share out among them: links to each other, topics, and listening sockets."""
