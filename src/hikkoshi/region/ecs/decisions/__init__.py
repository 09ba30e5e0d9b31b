"""What the scheduler does next, as pure functions over frozen snapshots."""
