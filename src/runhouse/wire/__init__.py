"""What client, server and worker all know: bytes on the socket, messages, pickled values."""
