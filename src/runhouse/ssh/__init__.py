"""SSH connections through the system's OpenSSH, one for each target."""
