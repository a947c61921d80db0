"""What protoc's plugin writes, beside golden files; the programs under test are run as users run them."""
