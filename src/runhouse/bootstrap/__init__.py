"""From a bare host to a running server; and the two hosts that everything works on."""
