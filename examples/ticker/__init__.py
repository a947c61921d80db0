"""A ticker: one actor reads an exchange, and clients on all hubs watch its prices."""
