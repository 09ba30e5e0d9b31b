"""The fixtures of the RDS room."""

from rds_house import fresh, pair

__all__ = ["fresh", "pair"]
