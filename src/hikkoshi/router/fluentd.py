"""fluentd's configuration as a tree of directives, and which of them an event passes.

https://docs.fluentd.org/configuration/config-file
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_OPEN = re.compile(r"^<(\w[\w-]*)\s*([^>]*)>$")
_CLOSE = re.compile(r"^</(\w[\w-]*)>$")
_COMMENT = re.compile(r"\s+#(?!\{).*$")
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(slots=True)
class Directive:
    """`<kind argument> … </kind>`; values as written, without quotes around them."""

    kind: str
    argument: str
    where: str
    values: dict[str, str] = field(default_factory=dict)
    inner: list[Directive] = field(default_factory=list)

    @property
    def type(self) -> str:
        return self.values.get("@type", self.values.get("type", ""))

    def one(self, kind: str) -> Directive | None:
        return next((d for d in self.inner if d.kind == kind), None)

    def all(self, *kinds: str) -> list[Directive]:
        return [d for d in self.inner if d.kind in kinds]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What an event of `source` passes, in order; outputs after `copy` and `relabel` are opened."""

    source: Directive
    tag: str
    filters: tuple[Directive, ...]
    outputs: tuple[Directive, ...]


def parse(text: str, path: str) -> tuple[list[Directive], list[str]]:
    """The directives, and complaints with file:line about what is not fluentd's syntax."""
    root = Directive("", "", path)
    stack = [root]
    complaints: list[str] = []
    open_ = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = open_ + raw.strip()
        open_ = ""
        if not line or line.startswith("#"):
            continue
        if line.endswith("\\"):
            open_ = line[:-1]
            continue
        where = f"{path}:{number}"
        if match := _OPEN.match(_COMMENT.sub("", line)):
            directive = Directive(match[1], match[2].strip(), where)
            stack[-1].inner.append(directive)
            stack.append(directive)
        elif match := _CLOSE.match(line):
            if len(stack) > 1 and stack[-1].kind == match[1]:
                stack.pop()
            else:
                complaints.append(f"{where}: </{match[1]}> closes nothing")
        elif line.startswith("@include"):
            root.inner.append(Directive("@include", line[8:].strip(), where))
        else:
            key, _, value = line.partition(" ")
            stack[-1].values[key] = _plain(value)
    if len(stack) > 1:
        complaints.append(f"{stack[-1].where}: <{stack[-1].kind}> is not closed")
    return root.inner, complaints


def _plain(value: str) -> str:
    value = value.strip()
    if not value.startswith(("/", '"', "'")):
        value = _COMMENT.sub("", value)
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def pipelines(directives: Iterable[Directive]) -> list[Pipeline]:
    every = list(directives)
    found = []
    for source in (d for d in every if d.kind == "source"):
        tag = source.values.get("tag", "")
        label = source.values.get("@label", "")
        filters, outputs = _follow(every, tag, label, 0)
        found.append(Pipeline(source, tag, tuple(filters), tuple(outputs)))
    return found


def _follow(
    every: list[Directive], tag: str, label: str, depth: int
) -> tuple[list[Directive], list[Directive]]:
    scope = every
    if label:
        labels = [d for d in every if d.kind == "label" and d.argument == label]
        scope = labels[0].inner if labels else []
    filters: list[Directive] = []
    for directive in scope:
        if directive.kind == "filter" and matches(directive.argument, tag):
            filters.append(directive)
        elif directive.kind == "match" and matches(directive.argument, tag):
            outputs: list[Directive] = []
            for output in _stores(directive):
                if output.type == "relabel" and depth < 10:
                    label = output.values.get("@label", "")
                    more, ends = _follow(every, tag, label, depth + 1)
                    filters += more
                    outputs += ends
                else:
                    outputs.append(output)
            return filters, outputs
    return filters, []


def _stores(match: Directive) -> Iterator[Directive]:
    if match.type in ("copy", "roundrobin"):
        for store in match.all("store"):
            yield from _stores(store)
    else:
        yield match


def matches(patterns: str, tag: str) -> bool:
    """`*` is one part, `**` none or more, `{a,b}` either; several patterns with blanks between."""
    return any(_pattern(pattern).fullmatch(tag) for pattern in (patterns or "**").split())


def _pattern(pattern: str) -> re.Pattern[str]:
    out = ""
    position = 0
    while position < len(pattern):
        rest = pattern[position:]
        if rest.startswith("**."):
            out += r"(?:.*\.)?"
            position += 3
        elif rest.startswith(".**"):
            out += r"(?:\..*)?"
            position += 3
        elif rest.startswith("**"):
            out += ".*"
            position += 2
        elif rest.startswith("*"):
            out += r"[^.]*"
            position += 1
        elif match := _BRACES.match(rest):
            out += "(?:" + "|".join(re.escape(word) for word in match[1].split(",")) + ")"
            position += match.end()
        else:
            out += re.escape(rest[0])
            position += 1
    return re.compile(out)
