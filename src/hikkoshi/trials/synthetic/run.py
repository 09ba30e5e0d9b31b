"""Runs synthetic tests against a base address."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

from hikkoshi.base.errors import BadInput
from hikkoshi.trials.synthetic.definition import Step, SyntheticTest
from hikkoshi.trials.synthetic.exchange import ExchangeFailed, Timings, exchange
from hikkoshi.trials.synthetic.expectations import (
    Answer,
    Check,
    Condition,
    Expectation,
    check_answer,
)
from hikkoshi.trials.synthetic.templates import UnknownName, filled, filled_text, names_in

HIDDEN = "•••"


class State(StrEnum):
    OK = "ok"
    # Right in the end: on a later try, or slower than the soft limit.
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StepResult:
    """One request of the last try. error: why no answer came, or a value could not be captured."""

    title: str
    url: str
    status: int | None
    checks: tuple[Check, ...]
    timings: Timings
    error: str | None = None

    @property
    def broken(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.is_kept)

    @property
    def has_failed(self) -> bool:
        return self.error is not None or any(not check.is_soft for check in self.broken)


@dataclass(frozen=True, slots=True)
class SyntheticResult:
    """t_ in epoch seconds. steps: those of the last try, up to the first that failed."""

    name: str
    state: State
    reason: str
    steps: tuple[StepResult, ...]
    attempts: int
    t_start: float
    t_end: float
    where: str

    @property
    def is_passed(self) -> bool:
        return self.state is not State.FAILED


def run(
    tests: Iterable[SyntheticTest],
    base_url: str,
    *,
    env: Mapping[str, str] | None = None,
    connect_to: str | None = None,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
    on_result: Callable[[SyntheticResult], None] = lambda result: None,
) -> tuple[SyntheticResult, ...]:
    """Runs the tests one after another; a failing one does not keep the next from running.

    env: what {{env.NAME}} stands for; its values are hidden in the results. connect_to:
    `host:port` or `unix:/path` for all connections. pause: waits between retries.
    Raises BadInput before anything is sent: a bad base address, a name that env lacks.
    """
    chosen = tuple(tests)
    given = dict(env or {})
    _check_base(base_url)
    for test in chosen:
        _check_env(test, given)
    results = []
    for test in chosen:
        result = _Runner(base_url, given, connect_to, pause, now).run(test)
        on_result(result)
        results.append(result)
    return tuple(results)


class _Runner:
    def __init__(
        self,
        base_url: str,
        env: Mapping[str, str],
        connect_to: str | None,
        pause: Callable[[float], None],
        now: Callable[[], float],
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._env = {f"env.{name}": value for name, value in env.items()}
        self._connect_to = connect_to
        self._pause = pause
        self._now = now

    def run(self, test: SyntheticTest) -> SyntheticResult:
        t_start = self._now()
        first_reason = ""
        attempt = 0
        while True:
            attempt += 1
            steps = self._try(test)
            failed = next((step for step in steps if step.has_failed), None)
            if failed is None or attempt > test.retries:
                break
            first_reason = first_reason or _reason(failed)
            self._pause(test.retry_interval_s)
        state, reason = _judged(steps, failed, attempt, first_reason)
        return SyntheticResult(
            test.name, state, reason, steps, attempt, t_start, self._now(), test.where
        )

    def _try(self, test: SyntheticTest) -> tuple[StepResult, ...]:
        names: dict[str, Any] = dict(self._env)
        results: list[StepResult] = []
        for step in test.steps:
            results.append(self._hide(self._step(step, names, test.timeout_s)))
            if results[-1].has_failed:
                break
        return tuple(results)

    def _step(self, step: Step, names: dict[str, Any], timeout_s: float) -> StepResult:
        """Sends one request and adds what it captured to the names."""
        try:
            path = _path(step.path, names)
            headers, body = _content(step, names)
            expected = _filled_expectation(step.expect, names)
        except UnknownName as error:
            return StepResult(step.title, "", None, (), Timings(), f"{error} has no value")
        url = path if path.startswith(("http://", "https://")) else self._base_url + path
        url = quote(url, safe="/?#[]@!$&'()*+,;=:%-._~")
        try:
            came = exchange(
                step.method, url, headers, body, timeout_s=timeout_s, connect_to=self._connect_to
            )
        except ExchangeFailed as error:
            return StepResult(step.title, url, None, (), error.timings, str(error))
        checks = check_answer(expected, came.answer)
        result = StepResult(step.title, url, came.answer.status, checks, came.timings)
        if result.has_failed:
            return result
        return replace(result, error=_capture(step, came.answer, names))

    def _hide(self, result: StepResult) -> StepResult:
        """The result without the secrets that came in by env."""
        secrets = sorted((value for value in self._env.values() if value), key=len, reverse=True)

        def hidden(text: str) -> str:
            for secret in secrets:
                text = text.replace(secret, HIDDEN).replace(quote(secret, safe=""), HIDDEN)
            return text

        checks = tuple(
            replace(check, expected=hidden(check.expected), came=hidden(check.came))
            for check in result.checks
        )
        error = hidden(result.error) if result.error is not None else None
        return replace(result, url=hidden(result.url), checks=checks, error=error)


def _path(text: str, names: Mapping[str, Any]) -> str:
    """Values inside a path are percent-encoded; one that the path begins with is an address of
    its own (a captured Location) and stays as it is."""
    begin, end = "", text
    if text.startswith("{{"):
        begin, _, end = text.partition("}}")
        begin = filled_text(begin + "}}", names)
    return begin + filled_text(end, names, lambda value: quote(value, safe=""))


def _content(step: Step, names: Mapping[str, Any]) -> tuple[list[tuple[str, str]], bytes | None]:
    headers = [(name, filled_text(value, names)) for name, value in step.headers]
    given = {name.lower() for name, _ in headers}
    body: bytes | None = None
    if isinstance(step.body, str):
        body = filled_text(step.body, names).encode("utf-8")
    elif step.body is not None:
        body = json.dumps(filled(step.body, names), ensure_ascii=False).encode("utf-8")
        if "content-type" not in given:
            headers.append(("Content-Type", "application/json"))
    if "user-agent" not in given:
        headers.append(("User-Agent", "hikkoshi"))
    if "content-length" not in given and (body is not None or step.method in ("POST", "PUT")):
        headers.append(("Content-Length", str(len(body or b""))))
    headers.append(("Connection", "close"))
    return headers, body


def _filled_expectation(expected: Expectation, names: Mapping[str, Any]) -> Expectation:
    def filled_condition(condition: Condition) -> Condition:
        return Condition(condition.operator, filled(condition.operand, names))

    return replace(
        expected,
        headers=tuple((name, filled_condition(each)) for name, each in expected.headers),
        json=tuple((path, filled_condition(each)) for path, each in expected.json),
        body=tuple(filled_condition(each) for each in expected.body),
    )


def _capture(step: Step, answer: Answer, names: dict[str, Any]) -> str | None:
    """Adds the captured values to names; in words what could not be captured, else None."""
    for name, source in step.capture:
        if isinstance(source, str):
            if source not in answer.headers:
                return f"nothing to capture as {name}: no header {source}"
            names[name] = answer.headers[source]
            continue
        try:
            values = source.find(json.loads(answer.body))
        except ValueError:
            return f"nothing to capture as {name}: the answer is not JSON"
        if not values:
            return f"nothing to capture as {name}: {source.text} leads nowhere"
        names[name] = values if source.is_many else values[0]
    return None


def _judged(
    steps: tuple[StepResult, ...], failed: StepResult | None, attempts: int, first_reason: str
) -> tuple[State, str]:
    if failed is not None:
        tries = f" ({attempts} tries)" if attempts > 1 else ""
        return State.FAILED, _reason(failed) + tries
    if attempts > 1:
        return State.DEGRADED, f"right on try {attempts}; at first: {first_reason}"
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
        conditions = [
            each.operand
            for each in (
                *(condition for _, condition in step.expect.headers),
                *(condition for _, condition in step.expect.json),
                *step.expect.body,
            )
        ]
        used = names_in([step.path, list(map(list, step.headers)), step.body, conditions])
        for name in used:
            if name.startswith("env.") and name.removeprefix("env.") not in env:
                raise BadInput(
                    f"{name.removeprefix('env.')} is not in the environment",
                    where=step.where,
                    fix=f"set {name.removeprefix('env.')}",
                )
