"""Lists that AWS gives in pages, each page asked for until it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from hikkoshi.aws.access import calling


def pages(
    action: str, client: Any, operation: str, /, **parameters: Any
) -> Iterator[Mapping[str, Any]]:
    """The pages of `client.operation`, which botocore can paginate; an error is an AwsRefused with
    the action's name.

    The call for a page is made anew inside the paginator: one that an error has passed through has
    ended, and would say, when it is asked again, that there is no more."""
    paginator = client.get_paginator(operation)
    paginator._method = partial(calling, action, getattr(client, operation))
    yield from paginator.paginate(**parameters)
