"""A host, surveyed in a few round trips: facts, listings, files; then pure functions over them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from hikkoshi.model.survey import Application, Host, Unseen
from hikkoshi.survey import applications, commands, configurations, rpm, supervised, systemd
from hikkoshi.survey.access_logs import read_access_log
from hikkoshi.survey.gathered import Gathered, Reach
from hikkoshi.survey.portrait import (
    Seen,
    content_of,
    data_places,
    draw,
    named_by_configuration,
    not_seen,
)
from hikkoshi.survey.programs import is_interpreter
from hikkoshi.survey.shell import Broken

Say = Callable[[str], None]

_TEXT_LIMIT = 512 << 10
_PROGRAM_LIMIT = 256 << 20
_LOG_TAIL = 4 << 20
_MOST_LOGS = 12
_MOST_ENTRIES = 60_000
_OTHER_LOGS = re.compile(
    r"/(?:syslog|auth\.log|messages|secure|kern\.log|dpkg\.log|boot\.log|lastlog|wtmp|btmp|cron|"
    r"maillog|faillog|dmesg|cloud-init\S*|alternatives\.log|bootstrap\.log|apt/.*|audit/.*|"
    r"amazon/.*|sa/.*|unattended-upgrades/.*)$|\.(?:gz|xz|bz2|zip|\d+)$"
)


@dataclass(slots=True)
class HostSurvey:
    """What came of it. `kept` are the applications' files: path → content and mode. broke: why it
    ended early."""

    host: Host
    unseen: tuple[Unseen, ...]
    kept: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    broke: Broken | None = None


def survey_host(reach: Reach, *, window_s: float, say: Say, keep_files: bool) -> HostSurvey:
    """Never raises for a host that is lost on the way, if anything came of it before."""
    seen = Seen(reach.address, time.time())
    first = f"processes, sockets and units, over {window_s:.0f} s"
    steps: tuple[tuple[str, Callable[[Seen, Reach], None]], ...] = (
        (first, lambda seen, reach: _facts(seen, reach, window_s)),
        ("units, logs and configuration", _files),
        ("the applications' files", _applications),
        ("access logs", _logs),
    )
    broke = None
    for words, step in steps:
        say(words)
        try:
            step(seen, reach)
        except Broken as error:
            seen.take(error.so_far)
            if not seen.gathered.answers and not seen.gathered.files:
                raise
            broke = error
            break
    host = draw(seen)
    unseen = (*seen.gathered.unseen, *not_seen(seen, host))
    if broke is not None:
        unseen = (*unseen, Unseen("what came after the connection was lost", broke.what, "again"))
    survey = HostSurvey(host, tuple(dict.fromkeys(unseen)), broke=broke)
    if keep_files:
        for application in host.applications:
            _keep(seen.gathered, application, survey)
    return survey


def _facts(seen: Seen, reach: Reach, window_s: float) -> None:
    seen.take(reach.ask(tuple(commands.FACTS), window_s))


def _files(seen: Seen, reach: Reach) -> None:
    places = (*systemd.PLACES, "/var/log")
    seen.take(reach.listing(places, 3, _MOST_ENTRIES))
    patterns = [f"{place}/*{kind}" for place in systemd.PLACES for kind in systemd.KINDS]
    patterns += [f"{place}/*{kind}.d/*.conf" for place in systemd.PLACES for kind in systemd.KINDS]
    known = [p for patterns_ in configurations.KINDS.values() for p in patterns_]
    seen.take(
        reach.read(
            (*patterns, *known, *configurations.CRON, *configurations.CERTIFICATES,
             *configurations.SYSTEM, *supervised.PM2),
            _TEXT_LIMIT,
        )
    )  # fmt: skip
    if not seen.gathered.answers:
        seen.take(reach.read(("/var/lib/dpkg/status", *rpm.DATABASES), _PROGRAM_LIMIT))
        seen.take(reach.read(rpm.OLDER, 16))
    units = systemd.read_units(seen.gathered)
    wanted = {name.lstrip("-") for unit in units for name in unit.environment_files}
    seen.take(reach.read(sorted(wanted), _TEXT_LIMIT))
    units = tuple(systemd.with_environment(unit, seen.gathered) for unit in units)
    if seen.gathered.answer("units"):
        units = systemd.with_state(units, seen.gathered.answer("units"))
    seen.units = supervised.with_supervised(units, seen.gathered)


def _applications(seen: Seen, reach: Reach) -> None:
    cron = seen.gathered.matching(*configurations.CRON)
    candidates = [unit for unit in seen.units if applications.is_candidate(unit)]
    programs = {applications.command_of(u)[0] for u in candidates if applications.command_of(u)}
    units = [unit.files[0] for unit in seen.units]
    seen.owners.update(reach.owners(sorted({*units, *programs, *cron})))
    seen.units = tuple(replace(u, package=seen.owners.get(u.files[0])) for u in seen.units)
    starters = supervised.starters(seen.units)
    seen.chosen = tuple((u, applications.root_of(u)) for u in seen.units
                        if applications.is_candidate(u) and u.name not in starters)  # fmt: skip
    roots = {root for _, root in seen.chosen if root}
    states = {
        f"/var/lib/{name}"
        for unit, _ in seen.chosen
        for name in (unit.directories.get("StateDirectory", "").split() or
                     [unit.name.removesuffix(".service")])
        if "/" not in name and name not in ("..", ".")
    }  # fmt: skip
    seen.take(reach.listing(sorted(roots), 12, _MOST_ENTRIES))
    seen.take(reach.listing((*sorted(states), "/srv", "/var/www", "/data"), 4, _MOST_ENTRIES))
    libraries = ("/usr/local/lib", *(f"{root}/.venv/lib" for root in roots))
    seen.take(reach.listing(libraries, 4, _MOST_ENTRIES))
    named = [path for unit, _ in seen.chosen for path in applications.files_named(unit)]
    seen.take(reach.listing({str(PurePosixPath(p).parent) for p in named}, 1, _MOST_ENTRIES))
    small = [p for p in _kept_of(seen) if seen.gathered.entries[p].size <= _PROGRAM_LIMIT]
    wanted = {path for path in (*small, *named, *programs) if not is_interpreter(path)}
    seen.take(reach.read(sorted(wanted), _PROGRAM_LIMIT))
    packaged = [(u, seen.owners[u.files[0]]) for u, _ in seen.chosen if u.files[0] in seen.owners]
    own = {p for pair in packaged for p in applications.configuration_patterns(*pair)}
    seen.take(reach.read(sorted(own), _TEXT_LIMIT))
    named_there = {d for unit, _ in seen.chosen for d in named_by_configuration(seen, unit)}
    seen.take(reach.listing(sorted(named_there), 12, _MOST_ENTRIES))
    content = {
        path
        for unit, _ in seen.chosen
        for path in content_of(seen, unit)[0]
        if path not in seen.gathered.files and seen.gathered.entries[path].kind == "f"
    }
    seen.take(reach.read(sorted(content), _PROGRAM_LIMIT))


def _kept_of(seen: Seen) -> list[str]:
    entries = seen.gathered.entries
    data = data_places(seen)
    return [
        path
        for unit, root in seen.chosen
        for path in applications.choose_files(unit, root, entries, data)[0]
        if entries[path].kind == "f"
    ]


def _logs(seen: Seen, reach: Reach) -> None:
    found = configurations.read_configurations(seen.gathered)
    outputs = [
        u.output.partition(":")[2]
        for u in seen.units
        if u.output.startswith(("append:", "file:", "truncate:"))
    ]
    named = (*outputs, *configurations.tailed_paths(found))
    seen.named_logs = named
    elsewhere = {str(PurePosixPath(p).parent) for p in named if not p.startswith("/var/log")}
    seen.take(reach.listing(sorted(elsewhere), 1, 2000))
    logs = configurations.read_log_files(seen.gathered, named)
    wanted = [
        log
        for log in logs
        if log.size
        and (configurations.is_named(log.path, named) or not _OTHER_LOGS.search(log.path))
    ]
    wanted.sort(key=lambda log: (not configurations.is_named(log.path, named), -log.modified))
    tails = reach.tails([log.path for log in wanted[:_MOST_LOGS]], _LOG_TAIL)
    read = [read_access_log(path, data.decode("utf-8", "replace"))
            for path, data in tails.files.items()]  # fmt: skip
    seen.access_logs = tuple(log for log in read if log is not None)
    # The content of the logs themselves is not kept.
    seen.take(Gathered(unseen=tails.unseen))


def _keep(gathered: Gathered, application: Application, survey: HostSurvey) -> None:
    for path in application.kept:
        entry = gathered.entries[path]
        if entry.kind == "l":
            survey.links[path] = entry.link
        elif path in gathered.files:
            survey.kept[path] = (gathered.files[path], entry.mode)


def write_kept(survey: HostSurvey, directory: Path) -> Mapping[str, str]:
    """Writes the applications' files under `directory` at their own paths; path → why not, for
    what was not written. Files first and links last: nothing is written through a link."""
    refused: dict[str, str] = {}
    for path, (data, mode) in survey.kept.items():
        place = _place(directory, path)
        if place is None:
            refused[path] = "its name leads elsewhere"
            continue
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            place.chmod((mode & 0o755) | 0o600)
        except (OSError, ValueError) as error:
            refused[path] = str(error)
    for path, target in survey.links.items():
        place = _place(directory, path)
        if place is not None and not place.exists() and not place.is_symlink():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
    return refused


def _place(directory: Path, path: str) -> Path | None:
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts or len(pure.parts) < 2:
        return None
    return directory.joinpath(*pure.parts[1:])
