"""ECS's errors in AWS's words."""

from __future__ import annotations

from hikkoshi.region.front.port import AwsError


def client_error(message: str) -> AwsError:
    return AwsError("ClientException", message)


def invalid_parameter(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)


def cluster_not_found() -> AwsError:
    return AwsError("ClusterNotFoundException", "Cluster not found.")


def cluster_inactive() -> AwsError:
    return AwsError("ClusterNotFoundException", "The referenced cluster was inactive.")


def service_not_found() -> AwsError:
    return AwsError("ServiceNotFoundException", "Service not found.")


def service_not_active() -> AwsError:
    return AwsError("ServiceNotActiveException", "Service was not ACTIVE.")


def task_not_found() -> AwsError:
    return invalid_parameter("The referenced task was not found.")


def unknown_definition() -> AwsError:
    return client_error("Unable to describe task definition.")


def definition_not_found() -> AwsError:
    """What RunTask, CreateService and UpdateService say of a task definition they cannot use."""
    return client_error("TaskDefinition not found.")


def definition_inactive() -> AwsError:
    return client_error("TaskDefinition is inactive")
