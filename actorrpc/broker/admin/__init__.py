"""Questions about a running server: how they are asked, and how a broker answers them."""
