"""Cloud Map's services, as moto holds them: their names for DNS, and ECS's entries in them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from hikkoshi.region.dns.zone import Entry, Record
from hikkoshi.region.ports import RegistryFacts

DEFAULT_TTL_S = 60
MAX_ANSWERS = 8
"""Of one multivalue answer, as Route 53 gives them."""


class CloudMap:
    """A `dns.zone.Source`, and `ports.ServiceRegistries`."""

    def __init__(self, account_id: str, region: str) -> None:
        self._account_id = account_id
        self._region = region

    # -- names

    def look(self, name: str) -> Entry | None:
        """`SERVICE.NAMESPACE`, and `INSTANCE.SERVICE.NAMESPACE` where an SRV record points to."""
        is_namespace = False
        for namespace, service in self._services():
            full = f"{service.name}.{namespace.name}".lower()
            if name == full:
                return service_entry(full, service.dns_config or {}, _healthy(service))
            if name.endswith(f".{full}"):
                instance = name[: -len(full) - 1]
                for known, attributes in _healthy(service):
                    if known.lower() == instance:
                        return Entry(_addresses([attributes]), ttl_s=DEFAULT_TTL_S)
            is_namespace = is_namespace or name == namespace.name.lower()
        return Entry() if is_namespace else None

    def _services(self) -> Iterator[tuple[Any, Any]]:
        backend = self._backend()
        if backend is None:
            return
        for service in list(backend.services.values()):
            namespace = backend.namespaces.get(service.namespace_id)
            if namespace is not None and namespace.type != "HTTP":
                yield namespace, service

    def _backend(self) -> Any | None:
        # As in hosted.py: without moto's module there is nothing to answer.
        models = sys.modules.get("moto.servicediscovery.models")
        if models is None:
            return None
        return models.servicediscovery_backends[self._account_id][self._region]

    # -- ports.ServiceRegistries

    def facts(self, registry_arn: str) -> RegistryFacts | None:
        service = self._service(registry_arn)
        if service is None:
            return None
        records = (service.dns_config or {}).get("DnsRecords") or []
        return RegistryFacts(frozenset(record["Type"] for record in records))

    def register(self, registry_arn: str, instance: str, attributes: Mapping[str, str]) -> None:
        backend, service = self._backend(), self._service(registry_arn)
        if backend is None or service is None:
            return
        if all(known.instance_id != instance for known in service.instances):
            backend.register_instance(service.id, instance, instance, dict(attributes))

    def deregister(self, registry_arn: str, instance: str) -> None:
        backend, service = self._backend(), self._service(registry_arn)
        if backend is None or service is None:
            return
        if any(known.instance_id == instance for known in service.instances):
            backend.deregister_instance(service.id, instance)

    def _service(self, arn: str) -> Any | None:
        backend = self._backend()
        services = list(backend.services.values()) if backend is not None else []
        return next((service for service in services if service.arn == arn), None)


def _healthy(service: Any) -> list[tuple[str, Mapping[str, str]]]:
    """(id, attributes). With none healthy all are answered, as Cloud Map does."""
    every = list(service.instances)
    healthy = [each for each in every if each.health_status == "HEALTHY"]
    return [(each.instance_id, each.attributes) for each in healthy or every]


def _addresses(instances: list[Mapping[str, str]]) -> tuple[str, ...]:
    found = (attributes.get("AWS_INSTANCE_IPV4", "") for attributes in instances)
    return tuple(address for address in found if address)


def service_entry(
    name: str, dns_config: Mapping[str, Any], instances: list[tuple[str, Mapping[str, str]]]
) -> Entry:
    """Pure. What a service's DnsConfig and its instances make of its name."""
    kinds = {r["Type"]: int(r.get("TTL") or 0) for r in dns_config.get("DnsRecords") or []}
    shown = instances[:MAX_ANSWERS]
    if "CNAME" in kinds:
        target = next((a["AWS_INSTANCE_CNAME"] for _, a in shown if "AWS_INSTANCE_CNAME" in a), "")
        return Entry(target=target, ttl_s=kinds["CNAME"]) if target else Entry()
    addresses = _addresses([attributes for _, attributes in shown]) if "A" in kinds else ()
    records: tuple[Record, ...] = ()
    if "SRV" in kinds:
        records = tuple(
            Record("SRV", f"1 1 {attributes['AWS_INSTANCE_PORT']} {one}.{name}.", kinds["SRV"])
            for one, attributes in shown
            if "AWS_INSTANCE_PORT" in attributes
        )
    return Entry(addresses, records=records, ttl_s=kinds.get("A", DEFAULT_TTL_S))
