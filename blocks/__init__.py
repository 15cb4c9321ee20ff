"""What a user configures once: the container, the store, the GPU host, the endpoint."""
