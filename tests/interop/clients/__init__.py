"""The clients that others wrote, each behind the same few asynchronous methods."""
