"""The registry: small readable records of named resources, and credentials kept apart."""
