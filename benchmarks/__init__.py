"""What actorrpc costs beside grpcio, measured. README.md says what is measured and how to run it."""
