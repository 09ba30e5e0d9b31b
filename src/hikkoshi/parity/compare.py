"""Two sets of delivered records, set beside each other: pure."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hikkoshi.parity.delivered import Delivered, Outcome, opened, without_times
from hikkoshi.parity.router_pipeline import OF_FIRELENS, OF_THE_TASK

_SAME_TIME_NS = 1_500_000
"""Destinations keep milliseconds."""
_CARRIES_TAG = ("stdout", "file", "forward")
# What an output lays over a record by its own options.
_OF_THE_OUTPUT = ("ddsource", "ddtags", "service")
_OF_METADATA = re.compile(r"^(?:container_(?:id|name|image)|cluster_name|task_\w+|region):")
_MOST_TRIED = 400_000
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """kind: missing, added, doubled, field, time, tag or destination. before, after: values, or
    None. line: index in the sample."""

    kind: str
    destination: str
    line: int | None = None
    key: str = ""
    before: Any = None
    after: Any = None
    why: str = ""


@dataclass(slots=True)
class Comparison:
    """compared: pairs of records that were set beside each other. notes: what is otherwise and not
    counted as a difference."""

    before: int
    after: int
    compared: int = 0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_interpreted: list[str] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        return not self.differences and not self.not_interpreted


def compare(before: Outcome, after: Outcome) -> Comparison:
    found = Comparison(len(before.records), len(after.records))
    found.not_interpreted += [f"before: {text}" for text in before.not_interpreted]
    found.not_interpreted += [f"after: {text}" for text in after.not_interpreted]
    for name, mine, theirs in _by_destination(before.records, after.records, found):
        _compare_at(name, mine, theirs, before, after, found)
    added = {k for d in after.records for k in d.record} & OF_FIRELENS
    if added:
        found.notes.append(f"ECS and FireLens add {', '.join(sorted(added))} to every record")
    return found


def _by_destination(
    before: Sequence[Delivered], after: Sequence[Delivered], found: Comparison
) -> list[tuple[str, list[Delivered], list[Delivered]]]:
    """Where each side has one destination, those two are compared, whatever they are called."""
    mine, theirs = _grouped(before), _grouped(after)
    if len(mine) == 1 and len(theirs) == 1:
        (name, records), (other, others) = *mine.items(), *theirs.items()
        if name != other and OF_THE_TASK not in (name, other) and name and other:
            found.differences.append(
                Difference("destination", name, before=name, after=other)
            )  # fmt: skip
        elif OF_THE_TASK in (name, other):
            found.notes.append("the router's file has no output: it is in the task definition, and "
                               f"what it lays over a record ({', '.join(_OF_THE_OUTPUT)}) is not "
                               "compared")  # fmt: skip
        return [(name or other, records, others)]
    return [(n, mine.get(n, []), theirs.get(n, [])) for n in sorted({*mine, *theirs})]


def _grouped(records: Iterable[Delivered]) -> dict[str, list[Delivered]]:
    groups: dict[str, list[Delivered]] = defaultdict(list)
    for record in records:
        groups[record.destination].append(record)
    return groups


def _compare_at(
    name: str,
    mine: list[Delivered],
    theirs: list[Delivered],
    before: Outcome,
    after: Outcome,
    found: Comparison,
) -> None:
    pairs, lost, more = _pair(mine, theirs)
    for one in lost:
        why = after.dropped.get(one.line, "") if one.line is not None else ""
        found.differences.append(
            Difference("missing", name, one.line, before=fields_of(one), why=why)
        )
    seen = Counter(_signature(one) for one in mine)
    for one in more:
        is_doubled = seen[_signature(one)] > 0 or any(p.line == one.line is not None for p in mine)
        why = before.dropped.get(one.line, "") if one.line is not None else ""
        kind = "doubled" if is_doubled else "added"
        found.differences.append(Difference(kind, name, one.line, after=fields_of(one), why=why))
    tags: Counter[tuple[str, str]] = Counter()
    for old, new in pairs:
        found.compared += 1
        found.differences += _fields(name, old, new)
        found.differences += _times(name, old, new)
        if old.tag and new.tag and old.tag != new.tag:
            tags[old.tag, new.tag] += 1
    for (old_tag, new_tag), count in tags.items():
        if name in _CARRIES_TAG or "-firelens" not in new_tag:
            found.differences.append(Difference("tag", name, None, "", old_tag, new_tag))
        else:
            found.notes.append(f"the tag of {count} records was {old_tag} and is {new_tag} now; "
                               f"{name} is not told it")  # fmt: skip


def _fields(name: str, old: Delivered, new: Delivered) -> list[Difference]:
    left, right = fields_of(old), fields_of(new)
    if OF_THE_TASK in (old.destination, new.destination):
        for key in _OF_THE_OUTPUT:
            left.pop(key, None)
    return [
        Difference("field", name, old.line, key,
                   left.get(key), right.get(key))
        for key in sorted({*left, *right})
        if left.get(key, _ABSENT) != right.get(key, _ABSENT)
    ]  # fmt: skip


def _times(name: str, old: Delivered, new: Delivered) -> list[Difference]:
    left, right = old.time_ns, new.time_ns
    if left is None or right is None or abs(left - right) <= _SAME_TIME_NS:
        return []
    return [Difference("time", name, old.line, "", iso(left), iso(right))]


def fields_of(one: Delivered) -> dict[str, Any]:
    """What is compared: the line opened, without times and what ECS adds."""
    record = without_times(opened(one.record))
    if "ddtags" in record:
        # `provider ecs` makes tags of FireLens' own fields.
        tags = str(record.pop("ddtags")).split(",")
        kept = ",".join(tag for tag in tags if tag and not _OF_METADATA.match(tag))
        record |= {"ddtags": kept} if kept else {}
    return {key: value for key, value in record.items() if key not in OF_FIRELENS}


def iso(time_ns: int) -> str:
    """UTC, with milliseconds."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000 / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _signature(one: Delivered) -> str:
    return json.dumps(fields_of(one), sort_keys=True, ensure_ascii=False, default=str)


def _pair(
    mine: list[Delivered], theirs: list[Delivered]
) -> tuple[list[tuple[Delivered, Delivered]], list[Delivered], list[Delivered]]:
    """By the sample's line where both know it; else equal ones first, then those that share the
    rarest values."""
    pairs: list[tuple[Delivered, Delivered]] = []
    if all(d.line is not None for d in (*mine, *theirs)):
        waiting: dict[int | None, list[Delivered]] = defaultdict(list)
        for one in theirs:
            waiting[one.line].append(one)
        lost = []
        for one in mine:
            others = waiting[one.line]
            if others:
                pairs.append((one, others.pop(0)))
            else:
                lost.append(one)
        return pairs, lost, [one for rest in waiting.values() for one in rest]
    by_signature: dict[str, list[Delivered]] = defaultdict(list)
    for one in theirs:
        by_signature[_signature(one)].append(one)
    rest = []
    for one in mine:
        same = by_signature[_signature(one)]
        if same:
            pairs.append((one, same.pop()))
        else:
            rest.append(one)
    left = [one for many in by_signature.values() for one in many]
    near, lost, more = _nearest(rest, left)
    return pairs + near, lost, more


def _nearest(
    mine: list[Delivered], theirs: list[Delivered]
) -> tuple[list[tuple[Delivered, Delivered]], list[Delivered], list[Delivered]]:
    index: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, one in enumerate(theirs):
        for key, value in fields_of(one).items():
            index[key, str(value)].append(number)
    used: set[int] = set()
    pairs, lost = [], []
    for one in mine:
        scores: Counter[int] = Counter()
        items = fields_of(one).items()
        for key, value in items:
            numbers = index.get((key, str(value)), [])
            for number in numbers if len(numbers) <= 200 else ():
                if number not in used:
                    scores[number] += 1000 // len(numbers)
        best = scores.most_common(1)
        # Less than half a value of its own in common is chance.
        if best and best[0][1] >= 500:
            used.add(best[0][0])
            pairs.append((one, theirs[best[0][0]]))
        else:
            lost.append(one)
    left = [one for number, one in enumerate(theirs) if number not in used]
    more, lost, left = _alike(lost, left)
    return pairs + more, lost, left


def _alike(
    mine: list[Delivered], theirs: list[Delivered]
) -> tuple[list[tuple[Delivered, Delivered]], list[Delivered], list[Delivered]]:
    """Records of few values, of which there are many: those that share half of them. What most
    records have says nothing."""
    pairs, lost = [], []
    counts = Counter(item for one in (*mine, *theirs) for item in _items(one))
    most = max(10, (len(mine) + len(theirs)) // 4)
    common = {item for item, count in counts.items() if count > most}
    left = [(one, set(_items(one)) - common) for one in theirs]
    for number, one in enumerate(mine):
        if (number + 1) * max(len(left), 1) > _MOST_TRIED:
            lost += mine[number:]
            break
        items = set(_items(one)) - common
        best = max(left, key=lambda other: len(items & other[1]), default=None)
        if best is not None and items and len(items & best[1]) * 2 >= len(items):
            left.remove(best)
            pairs.append((one, best[0]))
        else:
            lost.append(one)
    return pairs, lost, [one for one, _ in left]


def _items(one: Delivered) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in fields_of(one).items()]
