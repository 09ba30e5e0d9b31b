"""ecspresso's templates in configuration and definition files: the functions that people use.

`{{ env `TAG` `latest` }}`, `{{ must_env `TAG` }}`, `{{ tfstate `aws_subnet.a.id` }}`,
`{{ ssm `/path` }}`, `{{ secretsmanager_arn `name` }}`, and `| json_escape` behind any of them.
The rest of Go's template language (if, range, variables) is refused by name and line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from hikkoshi.base.errors import BadInput, HikkoshiError

Function = Callable[[list[str]], str]
"""Arguments → text. ValueError says what is wrong with them."""

_ACTION = re.compile(r"[ \t]*\{\{-(.*?)\}\}|\{\{(.*?)\}\}", re.DOTALL)
_WORD = re.compile(r"""\s*(?:`([^`]*)`|"((?:[^"\\]|\\.)*)"|(\|)|([^\s|`"]+))""")
_CONTROL = ("if", "else", "end", "range", "with", "define", "template", "block", "$")


def render(text: str, functions: Mapping[str, Function], path: Path) -> str:
    """The text with every action replaced. BadInput names file, line and function."""

    def replace(match: re.Match[str]) -> str:
        inner = match[1] if match[1] is not None else match[2]
        where = f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
        inner = inner.strip().removesuffix("-").strip()
        if inner.startswith("/*"):
            return ""
        return _run(inner, functions, where)

    return _ACTION.sub(replace, text)


def _run(action: str, functions: Mapping[str, Function], where: str) -> str:
    value: str | None = None
    for number, call in enumerate(_calls(action, where)):
        name, *arguments = call
        if name not in functions:
            what = f"the template function {name!r} is not known here"
            if name.startswith(_CONTROL):
                what = f"{{{{ {name} … }}}} of Go's templates is not implemented"
            raise BadInput(what, where=where, fix=f"known are {', '.join(sorted(functions))}")
        try:
            value = functions[name](arguments if number == 0 else [*arguments, value or ""])
        except ValueError as error:
            raise BadInput(f"{{{{ {action} }}}}: {error}", where=where) from error
        except HikkoshiError as error:
            error.where = error.where or where
            raise
    if value is None:
        raise BadInput("an empty template {{ }}", where=where)
    return value


def _calls(action: str, where: str) -> list[list[str]]:
    """`f a b | g` → [[f, a, b], [g]]."""
    calls: list[list[str]] = [[]]
    position = 0
    while position < len(action):
        match = _WORD.match(action, position)
        if match is None:
            break
        position = match.end()
        raw, quoted, pipe, word = match.groups()
        if pipe:
            calls.append([])
        elif raw is not None:
            calls[-1].append(raw)
        elif quoted is not None:
            calls[-1].append(str(json.loads(f'"{quoted}"')))
        else:
            calls[-1].append(word)
    if action[position:].strip() or not all(calls):
        raise BadInput(f"{{{{ {action} }}}} cannot be read", where=where)
    return calls


def own_functions(environment: Mapping[str, str]) -> dict[str, Function]:
    """Those that need nothing but the environment."""

    def env(arguments: list[str]) -> str:
        if not arguments:
            raise ValueError("env wants a name and a default")
        for each in arguments[:-1] if len(arguments) > 1 else arguments:
            if environment.get(each):
                return environment[each]
        return arguments[-1] if len(arguments) > 1 else ""

    def must_env(arguments: list[str]) -> str:
        (name,) = _exactly(arguments, 1, "must_env wants one name")
        if name not in environment:
            raise ValueError(f"the environment variable {name} is not set")
        return environment[name]

    def json_escape(arguments: list[str]) -> str:
        (text,) = _exactly(arguments, 1, "json_escape wants one value")
        return json.dumps(text, ensure_ascii=False)[1:-1]

    return {"env": env, "must_env": must_env, "json_escape": json_escape}


def _exactly(arguments: list[str], count: int, otherwise: str) -> list[str]:
    if len(arguments) != count:
        raise ValueError(otherwise)
    return arguments
