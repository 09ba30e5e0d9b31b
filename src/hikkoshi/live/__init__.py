"""A run while it happens: what is recorded, followed, and shown in a browser on this machine."""
