"""The client: makes calls to a server's workers and brings back what they say."""
