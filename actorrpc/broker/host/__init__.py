"""What the broker is to the machine it runs on: its runtime directory, signals, descriptors, the service
manager, and other processes' orphans."""
