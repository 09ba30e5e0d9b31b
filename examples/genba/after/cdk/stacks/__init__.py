"""The stacks of genba."""
