"""What runs in the containers of `docker/`: the entrypoint, its checks before the server starts, and its health."""
