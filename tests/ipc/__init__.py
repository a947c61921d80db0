"""Messages between processes: frames, and links that are slow or break."""
