"""What the package gives users for their own tests."""
