"""The command line: `runhouse`, or `rh` for short."""
