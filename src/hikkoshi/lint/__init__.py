"""Every complaint about a file, at once, with its place, its rule and its cure. Starts nothing."""
