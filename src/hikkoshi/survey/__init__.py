"""What runs today: a host (by ssh, this one, or a directory tree) and an account, written down."""
