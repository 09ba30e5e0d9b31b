"""What is done for a task before its containers start, in this order."""

from __future__ import annotations

from hikkoshi.region.task.hooks import (
    environment_files,
    firelens,
    images,
    logs,
    metadata,
    sandbox,
    secrets,
    volumes,
)
from hikkoshi.region.task.setup import Hook

HOOKS: tuple[Hook, ...] = (
    Hook("sandbox", "PROVISIONING", sandbox.prepare),
    Hook("secrets", "PENDING", secrets.prepare, is_interruptible=True),
    Hook("environment files", "PENDING", environment_files.prepare, is_interruptible=True),
    Hook("images", "PENDING", images.prepare, is_interruptible=True),
    Hook("volumes", "PENDING", volumes.prepare),
    Hook("firelens", "PENDING", firelens.prepare),
    Hook("log destinations", "PENDING", logs.check, is_interruptible=True),
    Hook("logs", "PENDING", logs.prepare),
    Hook("metadata", "PENDING", metadata.prepare),
)
