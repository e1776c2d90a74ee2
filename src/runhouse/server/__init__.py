"""The server: the daemon on the head node. It authenticates and routes; it never unpickles."""
