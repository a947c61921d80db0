"""A chat server whose rooms span hubs, a client for the terminal, and a demo of moves under load."""
