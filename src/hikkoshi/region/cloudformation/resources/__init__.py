"""The resources of our own, by CloudFormation's type."""

from __future__ import annotations

from hikkoshi.region.cloudformation.adapter import Adapter
from hikkoshi.region.cloudformation.resources import (
    around,
    containers,
    databases,
    load_balancers,
    pipelines,
    scaling,
    secrets,
)

ADAPTERS: tuple[type[Adapter], ...] = (
    *containers.ADAPTERS,
    *load_balancers.ADAPTERS,
    *databases.ADAPTERS,
    *secrets.ADAPTERS,
    *scaling.ADAPTERS,
    *pipelines.ADAPTERS,
    *around.ADAPTERS,
)
