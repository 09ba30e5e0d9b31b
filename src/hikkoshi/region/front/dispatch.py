"""One request to one of our own services: parsed, checked, carried out, answered."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import uuid
from collections.abc import Mapping
from typing import Any

from hikkoshi.region.front.catalogue import ServiceDescription
from hikkoshi.region.front.parse import parse_json, parse_query, parse_rest_json
from hikkoshi.region.front.port import AwsError, Caller, NotImplementedByRegion, Service
from hikkoshi.region.front.request import Request, Route
from hikkoshi.region.front.serialize import Response, serialize, serialize_error
from hikkoshi.region.front.validate import validate

_log = logging.getLogger(__name__)
_UNKNOWN_STATUS = {"rest-json": 404}


class Dispatcher:
    """Carries requests from the HTTP threads to the services' coroutines on the region's loop."""

    def __init__(
        self,
        services: Mapping[str, Service],
        *,
        account_id: str,
        default_region: str,
        loop: asyncio.AbstractEventLoop,
        deadline_s: float,
    ) -> None:
        self._services = {
            name: (service, dict(service.operations())) for name, service in services.items()
        }
        self._descriptions: dict[str, ServiceDescription] = {}
        self._account_id = account_id
        self._default_region = default_region
        self._loop = loop
        self._deadline_s = deadline_s

    def describe(self, service: str) -> ServiceDescription:
        """Loading the same model twice in two threads is harmless; the last one is kept."""
        if service not in self._descriptions:
            self._descriptions[service] = ServiceDescription(service)
        return self._descriptions[service]

    def answer(self, request: Request, route: Route) -> Response:
        """`route.service` must be one of ours. Never raises."""
        assert route.service is not None
        description = self.describe(route.service)
        request_id = str(uuid.uuid4())
        try:
            operation, parameters = self._read(request, route, description)
            validate(description.name, description.protocol, parameters, operation)
            caller = Caller(self._account_id, route.region or self._default_region, request_id)
            answer = self._carry_out(description.name, operation.name, parameters, caller)
            return serialize(description, operation, answer, request_id)
        except AwsError as error:
            return serialize_error(description, error, request_id)
        except RecursionError:
            too_deep = AwsError("SerializationException", "the request is nested too deeply")
            return serialize_error(description, too_deep, request_id)
        except Exception as fault:
            _log.exception("%s failed on request %s", route.service, request_id)
            what = f"the local region failed: {type(fault).__name__}: {fault}"
            return serialize_error(description, AwsError("InternalFailure", what, 500), request_id)

    def _read(
        self, request: Request, route: Route, description: ServiceDescription
    ) -> tuple[Any, dict[str, Any]]:
        if description.protocol == "query":
            return self._read_query(request, description)
        if description.protocol == "rest-json":
            found = description.match(request.method, request.path)
            if found is None:
                raise _unknown(description, f"{request.method} {request.path[:200]}")
            operation, labels = found
            self._need(description.name, operation.name)
            return operation, parse_rest_json(request, operation, labels)
        operation = description.operation(route.operation)
        if request.method != "POST" or operation is None:
            raise _unknown(description, route.operation or f"{request.method} {request.path[:200]}")
        self._need(description.name, operation.name)
        return operation, parse_json(request.body, operation)

    def _read_query(
        self, request: Request, description: ServiceDescription
    ) -> tuple[Any, dict[str, Any]]:
        form = request.form()
        if form is None:
            raise AwsError("MalformedQueryString", "the request has too many parameters")
        action = form.pop("Action", None)
        version = form.pop("Version", None)
        if action is None:
            raise AwsError("MissingAction", "The request must contain the parameter Action")
        operation = description.operation(action)
        if operation is None:
            raise AwsError(
                "InvalidAction",
                f"Could not find operation {action[:200]} for version "
                f"{version or description.model.api_version}",
            )
        self._need(description.name, operation.name)
        return operation, parse_query(form, operation)

    def _need(self, service: str, operation: str) -> None:
        if service not in self._services or operation not in self._services[service][1]:
            raise NotImplementedByRegion(f"{service}:{operation}")

    def _carry_out(
        self, service: str, operation: str, parameters: dict[str, Any], caller: Caller
    ) -> Mapping[str, Any]:
        coroutine = self._services[service][1][operation](parameters, caller)

        async def run() -> dict[str, Any]:
            return await coroutine

        future = asyncio.run_coroutine_threadsafe(run(), self._loop)
        try:
            return future.result(self._deadline_s)
        except concurrent.futures.TimeoutError as error:
            if future.done():
                raise
            future.cancel()
            message = f"{service}:{operation} took longer than {self._deadline_s:g} s here"
            raise AwsError("ServiceUnavailable", message, 503) from error
        except concurrent.futures.CancelledError as error:
            message = "the local region is shutting down"
            raise AwsError("ServiceUnavailable", message, 503) from error


def _unknown(description: ServiceDescription, what: str) -> AwsError:
    return AwsError(
        "UnknownOperationException",
        f"{description.name} has no operation {what}",
        _UNKNOWN_STATUS.get(description.protocol, 400),
    )
