"""Which connections should move where: what a policy is shown, what it decides, and hubs that do not exist."""
