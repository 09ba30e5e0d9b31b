"""Aurora MySQL, played by MariaDB where it is installed."""

from hikkoshi.region.rds.mariadb.engine import MariadbEngine

__all__ = ["MariadbEngine"]
