"""Aurora PostgreSQL, played by PostgreSQL."""

from hikkoshi.region.rds.postgresql.engine import PostgresEngine

__all__ = ["PostgresEngine"]
