"""Requests of every kind, sent for real and timed by phases."""
