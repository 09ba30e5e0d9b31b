"""serviceRegistries and serviceConnectConfiguration of a service: what is accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hikkoshi.region.ecs import errors
from hikkoshi.region.ecs.records import Cluster, Definition
from hikkoshi.region.front.port import NotImplementedByRegion
from hikkoshi.region.ports import ServiceRegistries


def check_registries(
    entries: list[dict[str, Any]], definition: Definition, registries: ServiceRegistries | None
) -> tuple[dict[str, Any], ...]:
    """As API_ServiceRegistry says for awsvpc: an SRV record needs a port."""
    if len(entries) > 1:
        raise errors.invalid_parameter("service registries can have at most 1 items.")
    for entry in entries:
        facts = registries.facts(entry.get("registryArn") or "") if registries else None
        if facts is None:
            raise errors.invalid_parameter(
                f"The service registry {entry.get('registryArn')} does not exist."
            )
        has_pair = bool(entry.get("containerName") or entry.get("containerPort"))
        if has_pair and entry.get("port"):
            raise errors.invalid_parameter(
                "Specify either a containerName and containerPort combination or a port, not both."
            )
        if "SRV" in facts.kinds and not (has_pair or entry.get("port")):
            raise errors.invalid_parameter(
                "A containerName and containerPort combination or a port must be specified for a "
                "service registry with SRV records."
            )
        if has_pair:
            _check_pair(entry, definition)
    return tuple(entries)


def _check_pair(entry: dict[str, Any], definition: Definition) -> None:
    name, port = entry.get("containerName"), entry.get("containerPort")
    for container in definition.document["containerDefinitions"]:
        ports = {m.get("containerPort") for m in container.get("portMappings") or []}
        if container["name"] == name and port in ports:
            return
    raise errors.invalid_parameter(
        f"The container {name} did not have a container port {port} defined."
    )


def check_service_connect(
    configuration: dict[str, Any] | None, definition: Definition, cluster: Cluster
) -> dict[str, Any] | None:
    """The configuration with its namespace filled in; None where it is absent or off.

    The proxy is not played: a name leads straight to the tasks, so the port that clients use has
    to be the container's own."""
    if not configuration or not configuration.get("enabled"):
        return None
    namespace = configuration.get("namespace") or (cluster.service_connect_defaults or {}).get(
        "namespace"
    )
    if not namespace:
        raise errors.invalid_parameter(
            "A namespace must be specified: in serviceConnectConfiguration, or as the cluster's "
            "serviceConnectDefaults."
        )
    _refuse_what_the_proxy_does(configuration)
    filled = {**configuration, "namespace": namespace}
    ports = _named_ports(definition)
    for service in filled.get("services") or []:
        if service["portName"] not in ports:
            raise errors.invalid_parameter(
                f"The portName {service['portName']} is not defined in the task definition."
            )
        if service.get("ingressPortOverride"):
            raise NotImplementedByRegion("serviceConnectConfiguration's ingressPortOverride")
        for alias in service.get("clientAliases") or []:
            if alias["port"] != ports[service["portName"]]:
                raise NotImplementedByRegion(
                    f"A Service Connect client alias with port {alias['port']} before container "
                    f"port {ports[service['portName']]} (the proxy, which translates it,)"
                )
    return filled


def _refuse_what_the_proxy_does(configuration: dict[str, Any]) -> None:
    """What would be a silent success without a proxy."""
    wanted = [(name, configuration) for name in ("accessLogConfiguration",)]
    for service in configuration.get("services") or []:
        wanted += [(name, service) for name in ("timeout", "tls")]
        wanted += [("testTrafficRules", alias) for alias in service.get("clientAliases") or []]
    for name, holder in wanted:
        if holder.get(name):
            raise NotImplementedByRegion(f"serviceConnectConfiguration's {name}")


def _named_ports(definition: Definition) -> dict[str, int]:
    return {
        mapping["name"]: int(mapping["containerPort"])
        for container in definition.document["containerDefinitions"]
        for mapping in container.get("portMappings") or []
        if mapping.get("name")
    }


def connect_names(configuration: dict[str, Any] | None) -> Iterator[str]:
    """Every name by which clients reach this service: each client alias's, else
    `DISCOVERY.NAMESPACE` (API_ServiceConnectClientAlias)."""
    if configuration is None:
        return
    namespace = str(configuration["namespace"]).rpartition("/")[2]
    for service in configuration.get("services") or []:
        discovery = service.get("discoveryName") or service["portName"]
        aliases = service.get("clientAliases") or [{}]
        for alias in aliases:
            yield (alias.get("dnsName") or f"{discovery}.{namespace}").lower()
