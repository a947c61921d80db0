"""Taking over the hubs that a broker before this one has left, by its death or to this one."""
