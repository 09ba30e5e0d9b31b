"""The multiline parsers that Fluent Bit has built in, for the stack traces of four languages.

States and what leads from one to the next are those of Fluent Bit's own (src/multiline/
flb_ml_parser_{go,java,python,ruby}.c, read on 30 November 2026; they in turn follow Google's
fluent-plugin-detect-exceptions). `docker` and `cri` read the files of a container runtime, which a
log router beside the application never sees: they are not here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from hikkoshi.router.match import compile_regex
from hikkoshi.router.port import MultilineRule, MultilineRules

FLUSH_S = 4.0
"""Fluent Bit's FLB_ML_FLUSH_TIMEOUT: a message that gets no more lines goes on after that."""

Table = tuple[tuple[str, str, str], ...]

_GO: Table = (
    ("start_state", r"\bpanic: ", "go_after_panic"),
    ("start_state", r"http: panic serving", "go_goroutine"),
    ("go_after_panic,go_after_signal,go_frame_1", r"^$", "go_goroutine"),
    ("go_after_panic", r"^\[signal ", "go_after_signal"),
    ("go_goroutine", r"^goroutine \d+ \[[^\]]+\]:$", "go_frame_1"),
    ("go_frame_1", r"^(?:[^\s.:]+\.)*[^\s.():]+\(|^created by ", "go_frame_2"),
    ("go_frame_2", r"^\s", "go_frame_1"),
)
_JAVA: Table = (
    (
        "start_state,java_start_exception",
        r".(?:Exception|Error|Throwable|V8 errors stack trace)[:\r\n]",
        "java_after_exception",
    ),
    ("java_after_exception", r"^[\t ]*nested exception is:", "java_start_exception"),
    ("java_after_exception", r"^[\r\n]*$", "java_after_exception"),
    ("java_after_exception,java", r"^[\t ]+(?:eval )?at ", "java"),
    (
        "java_after_exception,java",
        r"^[\t ]+--- End of inner exception stack trace ---$",
        "java",
    ),
    (
        "java_after_exception,java",
        r"^--- End of stack trace from previous location where exception was thrown ---$",
        "java",
    ),
    ("java_after_exception,java", r"^[\t ]*(?:Caused by|Suppressed):", "java_after_exception"),
    ("java_after_exception,java", r"^[\t ]*... \d+ (?:more|common frames omitted)", "java"),
)
_PYTHON: Table = (
    ("start_state", r"^Traceback \(most recent call last\):$", "python"),
    ("python", r"^[\t ]+File ", "python_code"),
    ("python_code", r"[^\t ]", "python"),
    ("python", r"^(?:[^\s.():]+\.)*[^\s.():]+:", "start_state"),
)
_RUBY: Table = (
    ("start_state", r"^.+:\d+:in\s+", "ruby_after_exception"),
    ("ruby_after_exception,ruby", r"^\s+from\s+.*:\d+:in\s+", "ruby"),
)
_TABLES: Mapping[str, Table] = {"go": _GO, "java": _JAVA, "python": _PYTHON, "ruby": _RUBY}
NAMES = tuple(_TABLES)


@functools.cache
def built_in(name: str) -> MultilineRules | None:
    """The rules of that name; None where it is none of Fluent Bit's that are interpreted here."""
    table = _TABLES.get(name)
    if table is None:
        return None
    rules = tuple(
        MultilineRule(tuple(states.split(",")), compile_regex(pattern, name), following)
        for states, pattern, following in table
    )
    return MultilineRules(name, rules, FLUSH_S)
