"""What is to be put on a host: data and validation, and how a host takes it."""
