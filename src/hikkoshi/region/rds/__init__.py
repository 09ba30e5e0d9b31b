"""Aurora PostgreSQL in the region: service "rds"."""

from hikkoshi.region.rds.service import RdsService

__all__ = ["RdsService"]
