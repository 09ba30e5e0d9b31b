"""What becomes of the containers' output: kept here, and sent where the task definition says."""

from hikkoshi.region.logs.drivers import FargateLogDrivers

__all__ = ["FargateLogDrivers"]
