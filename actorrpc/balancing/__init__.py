"""Which connections should move where: what policies see and decide, and hubs that do not exist."""
