"""nextToken and maxResults."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

from hikkoshi.region.ecs.errors import invalid_parameter

T = TypeVar("T")


def page(
    items: Sequence[T], parameters: dict[str, Any], *, usual: int = 100, most: int = 100
) -> tuple[list[T], str | None]:
    """One page of the items and the token of the next; InvalidParameterException for a token
    that this API never gave, or a page size out of range."""
    size = parameters.get("maxResults")
    if size is None:
        size = usual
    if not 1 <= size <= most:
        raise invalid_parameter(f"maxResults must be between 1 and {most}.")
    start = _offset(parameters.get("nextToken"))
    end = start + size
    return list(items[start:end]), _token(end) if end < len(items) else None


def paged(name: str, items: Sequence[Any], token: str | None) -> dict[str, Any]:
    answer: dict[str, Any] = {name: list(items)}
    if token is not None:
        answer["nextToken"] = token
    return answer


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"from:{offset}".encode()).decode()


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        word, _, number = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
    except (ValueError, binascii.Error) as error:
        raise invalid_parameter("Invalid token.") from error
    if word != "from" or not number.isdigit() or len(number) > 9:
        raise invalid_parameter("Invalid token.")
    return int(number)
