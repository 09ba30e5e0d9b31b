"""Databases that belong to a project, asked from this machine."""
