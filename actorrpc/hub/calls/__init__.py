"""What a hub keeps of calls while they are open: interceptors around them, their context, their ends."""
