"""MOVING.md: what moves, what stays, what is lost unless decided, in the order to do it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files

import jinja2

from hikkoshi.model.survey import Survey
from hikkoshi.plan.application import Chosen
from hikkoshi.plan.choice import Choice
from hikkoshi.plan.environment import Environment
from hikkoshi.plan.fluent_bit import Router
from hikkoshi.plan.leftovers import Leftovers
from hikkoshi.plan.traffic import Traffic


def write_moving(
    survey: Survey,
    chosen: Chosen,
    choices: Sequence[Choice],
    environment: Environment,
    router: Router,
    traffic: Traffic,
    leftovers: Leftovers,
    reasons_not: Iterable[str],
) -> str:
    host = survey.host
    assert host is not None
    source = (files("hikkoshi.plan") / "moving.md.j2").read_text("utf-8")
    template = jinja2.Environment(
        autoescape=False, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    ).from_string(source)
    return template.render(
        chosen=chosen,
        system=host.system,
        command=" ".join(chosen.command),
        choices=[(c, _line(c.because), [_line(e) for e in c.evidence[:4]]) for c in choices],
        environment=environment,
        router=router,
        traffic=traffic,
        leftovers=leftovers,
        reasons_not=list(reasons_not),
        unseen=survey.not_seen,
        left_out=chosen.files.left_out,
        line=_line,
    )


def _line(text: str) -> str:
    """One line of Markdown: what a host wrote ends no line, list or code span."""
    plain = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return plain.replace("|", "\\|").replace("<", "&lt;")[:400]
