"""RDS's errors, by the codes of its model and in its words."""

from __future__ import annotations

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.front.port import AwsError


def cluster_not_found(identifier: str) -> AwsError:
    return AwsError("DBClusterNotFoundFault", f"DBCluster {identifier} not found.", 404)


def cluster_exists() -> AwsError:
    return AwsError("DBClusterAlreadyExistsFault", "DB Cluster already exists")


def cluster_state(message: str) -> AwsError:
    return AwsError("InvalidDBClusterStateFault", message)


def instance_not_found(identifier: str) -> AwsError:
    return AwsError("DBInstanceNotFound", f"DBInstance {identifier} not found.", 404)


def instance_exists() -> AwsError:
    return AwsError("DBInstanceAlreadyExists", "DB instance already exists")


def instance_state(message: str) -> AwsError:
    return AwsError("InvalidDBInstanceState", message)


def group_not_found(name: str) -> AwsError:
    message = f"DBClusterParameterGroup not found: {name}"
    return AwsError("DBParameterGroupNotFound", message, 404)


def invalid_value(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message)


def invalid_combination(message: str) -> AwsError:
    return AwsError("InvalidParameterCombination", message)


def missing(name: str) -> AwsError:
    return AwsError(
        "InvalidParameterCombination",
        f"The parameter {name} must be provided and must not be blank.",
    )


def not_installed(error: CannotRun) -> AwsError:
    """The programs that play an engine are missing: RDS's word for an engine that it cannot give
    now, with the fix."""
    fix = f" ({error.fix})" if error.fix else ""
    return AwsError("InsufficientDBInstanceCapacity", f"{error.what}{fix}")
