"""Tuning: from what a run measured to sizes, counts and timings that meet the objective."""
