"""The Docker engine: the same tasks in containers of a Docker daemon on this machine."""
