"""Runs synthetic tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic.checks import Check
from hikkoshi.synthetic.definition import CannotCapture, Step, SyntheticTest
from hikkoshi.synthetic.hiding import Hiding
from hikkoshi.synthetic.reply import CannotTry, ExchangeFailed, Timings
from hikkoshi.synthetic.requests import HttpRequest, Request, TcpRequest, TlsRequest, UdpRequest
from hikkoshi.synthetic.templates import UnknownName
from hikkoshi.synthetic.wire.perform import perform


class State(StrEnum):
    OK = "ok"
    # Right in the end: on a later try, slower than the soft limit, or a step failed that may.
    DEGRADED = "degraded"
    FAILED = "failed"
    # Left out, or cannot be done here, in whole or in part: that is never "ok".
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class StepResult:
    """One request of the last try. error: why no answer came, or a value could not be captured.
    is_fatal: whether its failure is the test's. not_tried: why the step was not tried at all."""

    title: str
    url: str
    status: int | None
    checks: tuple[Check, ...]
    timings: Timings
    error: str | None = None
    is_fatal: bool = True
    attempts: int = 1
    not_tried: str | None = None

    @property
    def broken(self) -> tuple[Check, ...]:
        return tuple(c for c in self.checks if not c.is_kept and c.not_tried is None)

    @property
    def has_failed(self) -> bool:
        return self.error is not None or any(not check.is_soft for check in self.broken)


@dataclass(frozen=True, slots=True)
class SyntheticResult:
    """t_ in epoch seconds. steps: those of the last try, up to the first that ended it.
    not_tried: what of the test could not be tried, each with its reason."""

    name: str
    state: State
    reason: str
    steps: tuple[StepResult, ...]
    attempts: int
    t_start: float
    t_end: float
    where: str
    not_tried: tuple[str, ...] = ()
    is_skipped: bool = False
    """Not tried on purpose: the test itself says so."""

    @property
    def is_passed(self) -> bool:
        return self.state in (State.OK, State.DEGRADED)


def run(
    tests: Iterable[SyntheticTest],
    base_url: str | None,
    *,
    env: Mapping[str, str] | None = None,
    connect_to: str | None = None,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
    on_result: Callable[[SyntheticResult], None] = lambda result: None,
) -> tuple[SyntheticResult, ...]:
    """Runs the tests one after another; a failing one does not keep the next from running.

    base_url: put before paths; None only where all addresses are whole. env: what {{env.NAME}}
    and Datadog's variables stand for; its values are hidden in the results. connect_to:
    `host:port` or `unix:/path` for all connections. pause: waits between retries.
    Raises BadInput before anything is sent: a bad base address, a name that env lacks.
    """
    chosen = tuple(tests)
    given = dict(env or {})
    check_before(chosen, base_url, given)
    results = []
    for test in chosen:
        result = _Runner(base_url, given, connect_to, pause, now).run(test)
        on_result(result)
        results.append(result)
    return tuple(results)


def check_before(
    tests: Iterable[SyntheticTest], base_url: str | None, env: Mapping[str, str]
) -> None:
    """What `run` refuses, without sending anything."""
    if base_url is not None:
        _check_base(base_url)
    for test in tests:
        if test.skipped is None:
            test.variables(env)
            _check_env(test, env)
            _check_paths(test, base_url)


class _Runner:
    def __init__(
        self,
        base_url: str | None,
        env: Mapping[str, str],
        connect_to: str | None,
        pause: Callable[[float], None],
        now: Callable[[], float],
    ) -> None:
        self._base_url = None if base_url is None else base_url.rstrip("/")
        self._env = env
        self._connect_to = connect_to
        self._pause = pause
        self._now = now
        self._hiding = Hiding()

    def run(self, test: SyntheticTest) -> SyntheticResult:
        t_start = self._now()
        if test.skipped is not None:
            return SyntheticResult(
                test.name, State.NOT_TRIED, test.skipped, (), 0, t_start, t_start, test.where,
                (test.skipped,), is_skipped=True,
            )  # fmt: skip
        first_reason = ""
        attempt = 0
        while True:
            attempt += 1
            steps = self._try(test)
            failed = next((step for step in steps if step.has_failed and step.is_fatal), None)
            if failed is None or attempt > test.retries:
                break
            first_reason = first_reason or _reason(failed)
            self._pause(test.retry_interval_s)
        untried = _untried(steps)
        state, reason = _judged(steps, failed, attempt, first_reason, untried)
        return SyntheticResult(
            test.name, state, reason, steps, attempt, t_start, self._now(), test.where, untried
        )

    def _try(self, test: SyntheticTest) -> tuple[StepResult, ...]:
        names: dict[str, Any] = {f"env.{name}": value for name, value in self._env.items()}
        for used in (name for step in test.steps for name in step.used_names()):
            if used.startswith("env."):
                self._hiding.add(str(names.get(used, "")))
        for variable in test.variables(self._env):
            names[variable.name] = variable.value
            if variable.is_secret:
                self._hiding.add(str(variable.value))
        results: list[StepResult] = []
        lost: set[str] = set()
        for step in test.steps:
            needed = sorted(lost.intersection(step.used_names()))
            if needed:
                why = f"needs {needed[0]}, from a step that was not tried"
                result = StepResult(step.title, "", None, (), Timings(), not_tried=why)
            else:
                result = self._hide(self._step_with_retries(step, names, test.timeout_s))
            if result.not_tried is not None:
                lost.update(step.captured_names())
            flow = step.flow
            is_fatal = flow.is_critical or not flow.is_allowed_to_fail
            results.append(replace(result, is_fatal=is_fatal))
            if result.has_failed and not flow.is_allowed_to_fail:
                break
            has_succeeded = not result.has_failed and result.not_tried is None
            if has_succeeded and flow.is_last_if_it_succeeds:
                break
        return tuple(results)

    def _step_with_retries(self, step: Step, names: dict[str, Any], timeout_s: float) -> StepResult:
        attempt = 0
        while True:
            attempt += 1
            result = self._step(step, names, timeout_s)
            if not result.has_failed or attempt > step.flow.retries:
                return replace(result, attempts=attempt)
            self._pause(step.flow.retry_interval_s)

    def _step(self, step: Step, names: dict[str, Any], timeout_s: float) -> StepResult:
        """Sends one request and adds what it captured to the names."""

        def without(why: str) -> StepResult:
            return StepResult(step.title, "", None, (), Timings(), not_tried=why)

        if step.why_not is not None:
            return without(step.why_not)
        try:
            request = step.request(names, self._base_url)
            reply = perform(
                request,
                timeout_s=getattr(step, "timeout_s", None) or timeout_s,
                connect_to=self._connect_to,
            )
        except CannotTry as error:
            return without(str(error))
        except ValueError as error:
            told = f"INVALID_REQUEST: {error}"
            return StepResult(step.title, "", None, (), Timings(), told)
        except UnknownName as error:
            told = f"{error} has no value"
            return StepResult(step.title, "", None, (), Timings(), told)
        except ExchangeFailed as error:
            url = _address(request)
            return StepResult(step.title, url, None, (), error.timings, str(error))
        checks = step.check(reply, names)
        result = StepResult(step.title, _address(request), reply.status, checks, reply.timings)
        if result.has_failed:
            return result
        try:
            for captured in step.capture(reply):
                names[captured.name] = captured.value
                if captured.is_secret:
                    self._hiding.add(str(captured.value))
        except CannotCapture as error:
            return replace(result, error=str(error))
        return result

    def _hide(self, result: StepResult) -> StepResult:
        """The result without secrets."""
        hidden = self._hiding.hide
        checks = tuple(
            replace(
                check,
                what=hidden(check.what),
                expected=hidden(check.expected),
                came=hidden(check.came),
            )
            for check in result.checks
        )
        error = hidden(result.error) if result.error is not None else None
        return replace(result, url=hidden(result.url), checks=checks, error=error)


def _address(request: Request) -> str:
    match request:
        case TcpRequest() | TlsRequest() | UdpRequest():
            return f"{request.host}:{request.port}"
        case HttpRequest():
            return request.url
    return str(getattr(request, "url", None) or getattr(request, "host", ""))


def _untried(steps: tuple[StepResult, ...]) -> tuple[str, ...]:
    told = []
    for step in steps:
        if step.not_tried is not None:
            told.append(f"{step.title}: {step.not_tried}")
        told += [f"{step.title}: {c.what}: {c.not_tried}" for c in step.checks if c.not_tried]
    return tuple(told)


def _judged(
    steps: tuple[StepResult, ...],
    failed: StepResult | None,
    attempts: int,
    first_reason: str,
    untried: tuple[str, ...],
) -> tuple[State, str]:
    if failed is not None:
        tries = f" ({attempts} tries)" if attempts > 1 else ""
        return State.FAILED, _reason(failed) + tries
    if untried:
        kept = sum(check.is_kept for step in steps for check in step.checks)
        more = f" (and {len(untried) - 1} more)" if len(untried) > 1 else ""
        return State.NOT_TRIED, f"{untried[0]}{more}; {kept} other checks held"
    if attempts > 1:
        return State.DEGRADED, f"right on try {attempts}; at first: {first_reason}"
    forgiven = next((step for step in steps if step.has_failed), None)
    if forgiven is not None:
        return State.DEGRADED, f"{_reason(forgiven)} (a step that may fail)"
    again = next((step for step in steps if step.attempts > 1), None)
    if again is not None:
        return State.DEGRADED, f"{again.title}: right on try {again.attempts}"
    slow = next((step for step in steps if step.broken), None)
    if slow is not None:
        return State.DEGRADED, _reason(slow)
    return State.OK, "as expected"


def _reason(step: StepResult) -> str:
    if step.error is not None:
        return f"{step.title}: {step.error}"
    check = next((each for each in step.broken if not each.is_soft), step.broken[0])
    return f"{step.title}: {check.what} expected {check.expected}, came {check.came}"


def _check_base(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise BadInput(f"{base_url!r} is not a base address", fix="write http://host:port")


def _check_env(test: SyntheticTest, env: Mapping[str, str]) -> None:
    for step in test.steps:
        for name in step.used_names():
            plain = name.removeprefix("env.")
            if name.startswith("env.") and plain not in env:
                raise BadInput(
                    f"{plain} is not in the environment", where=step.where, fix=f"set {plain}"
                )


def _check_paths(test: SyntheticTest, base_url: str | None) -> None:
    for step in test.steps:
        if base_url is None and getattr(step, "path", "").startswith("/"):
            raise BadInput(
                f"{step.title} is a path alone",
                where=step.where,
                fix="give --base-url http://host:port, or write the whole address",
            )
