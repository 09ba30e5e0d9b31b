"""Targets out of what a team already has: a browser's recording, an API's description, a log."""
