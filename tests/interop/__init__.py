"""Foreign clients, tools and proxies against a real server."""
