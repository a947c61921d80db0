"""Who moves which connection where: people, policies, and what hubs are asked for it."""
