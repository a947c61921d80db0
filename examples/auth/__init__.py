"""Token authentication by an interceptor."""
