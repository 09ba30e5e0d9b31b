"""Shipping a service to ECS: what is there, what would change, the change, and its outcome."""
