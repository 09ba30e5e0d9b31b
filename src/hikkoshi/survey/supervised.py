"""Programs that a supervisor of their own starts, as units: supervisord's and pm2's.

systemd sees one service, the supervisor; what moves is what that starts. Sources: supervisord's
configuration file reference; the dump that `pm2 save` writes.
"""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from hikkoshi.model.survey import Unit
from hikkoshi.survey.gathered import Gathered
from hikkoshi.survey.systemd import split_words

SUPERVISORD = ("/etc/supervisor/*.conf", "/etc/supervisor/conf.d/*.conf", "/etc/supervisord.conf",
               "/etc/supervisord.d/*.ini", "/etc/supervisord.d/*.conf")  # fmt: skip
# Beneath the home of each user and of root.
PM2 = ("/home/*/.pm2/dump.pm2", "/*/.pm2/dump.pm2")
_STARTER = re.compile(r"^(?:supervisord?|pm2-.+|pm2)\.service$")
_PAIR = re.compile(r"(\w+)\s*=\s*(\"[^\"]*\"|'[^']*'|[^,]*)")
# pm2 writes down the whole environment of whoever started it.
_OF_A_SESSION = re.compile(
    r"^(?:PATH|HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|LANG|LC_\w+|TERM|MAIL|SHLVL|_|EDITOR|LS_\w+|"
    r"LESS\w*|SSH_\w+|XDG_\w+|SUDO_\w+|DBUS_\w+|NVM_\w+|PM2_\w+|NODE_APP_INSTANCE|USERNAME|"
    r"INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_\w+|MOTD_SHOWN)$"
)
_NAME = re.compile(r"^[A-Za-z_]\w*$")


def with_supervised(units: tuple[Unit, ...], gathered: Gathered) -> tuple[Unit, ...]:
    """The units, and one for each program of a supervisor's; each of those `needs` its starter."""
    taken = {unit.name for unit in units}
    added = []
    for unit in (*_of_supervisord(gathered, units), *_of_pm2(gathered, units)):
        name = unit.name if unit.name not in taken else unit.name.replace(".", "-supervised.", 1)
        if name not in taken:
            taken.add(name)
            added.append(replace(unit, name=name))
    return (*units, *added)


def starters(units: Iterable[Unit]) -> frozenset[str]:
    """Supervisors of which a program is known: that program is the application, not they."""
    return frozenset(
        name
        for unit in units
        if unit.description.startswith("started by ")
        for name in unit.needs
        if _STARTER.match(name)
    )


def _starter(units: Iterable[Unit], pattern: str) -> Unit | None:
    return next((unit for unit in units if re.match(pattern, unit.name)), None)


def _of_supervisord(gathered: Gathered, units: Iterable[Unit]) -> Iterator[Unit]:
    starter = _starter(units, r"^supervisord?\.service$")
    for path in gathered.matching(*SUPERVISORD) if starter else ():
        parser = configparser.RawConfigParser(
            strict=False, inline_comment_prefixes=(";",), default_section="\0"
        )
        # What is no such file after all has no programs.
        with suppress(configparser.Error):
            parser.read_string(gathered.text(path))
        for section in parser.sections():
            kind, _, name = section.partition(":")
            options = dict(parser.items(section))
            if kind in ("program", "fcgi-program") and name and options.get("command"):
                assert starter is not None
                yield _program(name, options, path, starter)


def _program(name: str, options: Mapping[str, str], path: str, starter: Unit) -> Unit:
    def filled(text: str) -> str:
        here = str(PurePosixPath(path).parent)
        return text.replace("%(program_name)s", name).replace("%(here)s", here).replace("%%", "%")

    environment = {
        key: filled(value.strip().strip("\"'"))
        for key, value in _PAIR.findall(options.get("environment", ""))
    }
    log = options.get("stdout_logfile", "")
    is_started = options.get("autostart", "true").lower() not in ("false", "0", "no", "off")
    return Unit(
        f"{name}.service",
        (path,),
        "started by supervisord",
        "simple",
        is_enabled=is_started and (starter.is_enabled or bool(starter.is_active)),
        commands=(tuple(split_words(filled(options["command"]))),),
        user=options.get("user", "root"),
        working_directory=filled(options.get("directory", "")),
        environment=environment,
        output=f"append:{filled(log)}" if log.startswith("/dev/") is False and log[:1] == "/"
        else "",
        needs=(starter.name,),
    )  # fmt: skip


def _of_pm2(gathered: Gathered, units: Iterable[Unit]) -> Iterator[Unit]:
    starter = _starter(units, r"^pm2(?:-.+)?\.service$")
    for path in gathered.matching(*PM2) if starter else ():
        try:
            found = json.loads(gathered.text(path))
        except (ValueError, RecursionError):
            continue
        for entry in found if isinstance(found, list) else ():
            unit = _of_dump(entry, path, starter) if isinstance(entry, dict) and starter else None
            if unit is not None:
                yield unit


def _of_dump(entry: Mapping[str, Any], path: str, starter: Unit) -> Unit | None:
    name, script = str(entry.get("name", "")), str(entry.get("pm_exec_path", ""))
    if not name or not script or "/" in name:
        return None
    interpreter = str(entry.get("exec_interpreter") or "node")
    given = entry.get("args") or []
    arguments = split_words(given) if isinstance(given, str) else [str(a) for a in given]
    version = str(entry.get("node_version") or "")
    environment = entry.get("env")
    kept = {
        key: str(value)
        for key, value in (environment.items() if isinstance(environment, dict) else ())
        if _NAME.match(str(key)) and key.isupper() and not _OF_A_SESSION.match(key)
        and isinstance(value, (str, int, float))
    }  # fmt: skip
    words = ([] if interpreter == "none" else [interpreter]) + [script, *arguments]
    return Unit(
        f"{name}.service",
        (path,),
        f"started by pm2{f', node {version}' if re.match(r'^[0-9.]+$', version) else ''}",
        "simple",
        is_enabled=starter.is_enabled or bool(starter.is_active),
        commands=(tuple(words),),
        user=starter.user,
        working_directory=str(entry.get("pm_cwd") or ""),
        environment=kept,
        needs=(starter.name,),
    )
