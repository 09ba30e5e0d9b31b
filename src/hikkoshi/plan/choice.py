"""Choices: each has an answer, a because and its evidence. Some only a person can make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hikkoshi.base.errors import BadInput


@dataclass(frozen=True, slots=True)
class Choice:
    """by: `seen` (the survey says so), `answered` (a person did), `assumed` (nobody did)."""

    key: str
    answer: str
    because: str
    evidence: tuple[str, ...] = ()
    by: str = "seen"
    question: str = ""


class Ask(Protocol):
    def __call__(self, question: str, default: str, choices: tuple[str, ...]) -> str: ...


@dataclass(slots=True)
class Notebook:
    """Collects choices in the order they are made. answers: key → what a person said, before or
    now; they win over what was seen. ask None: nobody is there to be asked."""

    answers: dict[str, str]
    ask: Ask | None = None
    choices: list[Choice] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)

    def note(self, key: str, answer: str, because: str, *evidence: str) -> str:
        """What the survey shows. An answer of the same key overrules it."""
        self._known.add(key)
        if key in self.answers:
            said = self.answers[key]
            reason = because if said == answer else f"you said so (seen: {answer}, for {because})"
            self.choices.append(Choice(key, said, reason, evidence, "answered"))
            return said
        self.choices.append(Choice(key, answer, because, evidence))
        return answer

    def question(
        self,
        key: str,
        question: str,
        default: str,
        because: str,
        *evidence: str,
        among: tuple[str, ...] = (),
    ) -> str:
        """What only a person knows. because: why the default is sensible."""
        self._known.add(key)
        if key in self.answers:
            said = self.answers[key]
            if among and said not in among:
                raise BadInput(
                    f"{said!r} is no answer to: {question}",
                    where=f"answers: {key}",
                    fix=f"one of {', '.join(among)}",
                )
            self.choices.append(Choice(key, said, "you said so", evidence, "answered", question))
            return said
        if self.ask is not None:
            said = self.ask(question, default, among)
            self.answers[key] = said
            self.choices.append(Choice(key, said, "you said so", evidence, "answered", question))
            return said
        self.choices.append(Choice(key, default, because, evidence, "assumed", question))
        return default

    def refuse_unknown(self, prefixes: tuple[str, ...]) -> None:
        """An answer to nothing is a slip of the pen. BadInput names the nearest question."""
        import difflib

        for key in self.answers:
            if key not in self._known and not key.startswith(prefixes):
                near = difflib.get_close_matches(key, self._known, 1)
                fix = f"did you mean {near[0]}?" if near else f"there are {sorted(self._known)}"
                raise BadInput(f"nothing asks for {key!r}", where="answers", fix=fix)


@dataclass(frozen=True, slots=True)
class Planned:
    """files: path in the new directory → text. copies: path there → absolute path on the host,
    whose copy lies in the survey's files. moving: the sections of MOVING.md."""

    service: str
    files: Mapping[str, str]
    copies: Mapping[str, str]
    choices: tuple[Choice, ...]
    is_rehearsable: bool
    reasons_not: tuple[str, ...] = ()


Notes = list[str]
AskFor = Callable[[str], str]
