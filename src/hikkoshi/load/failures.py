"""The ways a request fails, by name. A status of 400 and above is an answer, not one of them."""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    """The value is what a result's `error` column holds. Order is part of the results format:
    new kinds go to the end."""

    CONNECTION_REFUSED = "ConnectionRefused"
    # Reset, or closed, before a whole answer had come.
    CONNECTION_RESET = "ConnectionReset"
    CONNECTION_CLOSED = "ConnectionClosed"
    INCOMPLETE_RESPONSE = "IncompleteResponse"
    TIMEOUT = "Timeout"
    BAD_RESPONSE = "BadResponse"
    TOO_LARGE = "TooLarge"
    # The queue for a free connection was full.
    OVERFLOW = "Overflow"
    # Unreachable network or host, or a path that is no socket.
    CONNECT_FAILED = "ConnectFailed"
    # The run was stopped before the answer came.
    STOPPED = "Stopped"
    TLS_FAILED = "TlsFailed"
    # The generator's own limits, which make a run invalid.
    NO_LOCAL_PORT = "NoLocalPort"
    NO_DESCRIPTOR = "NoDescriptor"
    # An answer came, but not the one that --expect asks for.
    UNEXPECTED = "Unexpected"
    TOO_MANY_REDIRECTS = "TooManyRedirects"


FAILURES: tuple[Failure, ...] = tuple(Failure)
CODE_OF: dict[Failure, int] = {failure: code for code, failure in enumerate(FAILURES, 1)}
OWN_LIMITS = frozenset({Failure.NO_LOCAL_PORT, Failure.NO_DESCRIPTOR})


def is_success(status: int, error: object) -> bool:
    """vegeta's rule: no error, and a status from 200 to 399."""
    return not error and 200 <= status < 400
