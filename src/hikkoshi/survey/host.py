"""A host, surveyed in a few round trips: facts, listings, files; then pure functions over them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from hikkoshi.model.survey import (
    AccessLog,
    Application,
    Configuration,
    DataPlace,
    Host,
    Process,
    Program,
    System,
    Unit,
    Unseen,
)
from hikkoshi.survey import applications, commands, configurations, rpm, systemd
from hikkoshi.survey.access_logs import read_access_log
from hikkoshi.survey.gathered import Entry, Gathered, Reach, matches
from hikkoshi.survey.network import read_network
from hikkoshi.survey.processes import read_processes, window_of
from hikkoshi.survey.programs import describe, is_interpreter
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
_CONTENT = re.compile(r"(?<![\w/])/(?:var/www|srv|data)/[\w./-]+")
_COMMENTED = re.compile(r"^\s*[#;].*$", re.MULTILINE)


@dataclass(slots=True)
class HostSurvey:
    """What came of it. `kept` are the applications' files: path → content and mode. broke: why it
    ended early."""

    host: Host
    unseen: tuple[Unseen, ...]
    kept: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    broke: Broken | None = None


@dataclass(slots=True)
class _Work:
    reach: Reach
    say: Say
    now: float
    gathered: Gathered = field(default_factory=Gathered)
    owners: dict[str, str] = field(default_factory=dict)
    units: tuple[Unit, ...] = ()
    access_logs: tuple[AccessLog, ...] = ()
    apps: tuple[Application, ...] = ()
    chosen: tuple[tuple[Unit, str], ...] = ()
    named_logs: tuple[str, ...] = ()

    def take(self, gathered: Gathered) -> None:
        self.gathered = self.gathered.joined(gathered)


def survey_host(reach: Reach, *, window_s: float, say: Say, keep_files: bool) -> HostSurvey:
    """Never raises for a host that is lost on the way, if anything came of it before."""
    work = _Work(reach, say, time.time())
    steps: tuple[tuple[str, Callable[[_Work], None]], ...] = (
        (f"processes, sockets and units, over {window_s:.0f} s", lambda w: _facts(w, window_s)),
        ("units, logs and configuration", _files),
        ("the applications' files", _applications),
        ("access logs", _logs),
    )
    broke = None
    for words, step in steps:
        say(words)
        try:
            step(work)
        except Broken as error:
            work.take(error.so_far)
            if not work.gathered.answers and not work.gathered.files:
                raise
            broke = error
            break
    host = _host(work)
    unseen = (*work.gathered.unseen, *_not_seen(work, host))
    if broke is not None:
        unseen = (*unseen, Unseen("what came after the connection was lost", broke.what, "again"))
    survey = HostSurvey(host, tuple(dict.fromkeys(unseen)), broke=broke)
    if keep_files:
        for application in host.applications:
            _keep(work, application, survey)
    return survey


def _facts(work: _Work, window_s: float) -> None:
    work.take(work.reach.ask(tuple(commands.FACTS), window_s))


def _files(work: _Work) -> None:
    places = (*systemd.PLACES, "/var/log")
    work.take(work.reach.listing(places, 3, _MOST_ENTRIES))
    patterns = [f"{place}/*{kind}" for place in systemd.PLACES for kind in systemd.KINDS]
    patterns += [f"{place}/*{kind}.d/*.conf" for place in systemd.PLACES for kind in systemd.KINDS]
    known = [p for patterns_ in configurations.KINDS.values() for p in patterns_]
    work.take(
        work.reach.read(
            (*patterns, *known, *configurations.CRON, *configurations.CERTIFICATES,
             *configurations.SYSTEM),
            _TEXT_LIMIT,
        )
    )  # fmt: skip
    if not work.gathered.answers:
        work.take(work.reach.read(("/var/lib/dpkg/status", *rpm.DATABASES), _PROGRAM_LIMIT))
        work.take(work.reach.read(rpm.OLDER, 16))
    units = systemd.read_units(work.gathered)
    wanted = {name.lstrip("-") for unit in units for name in unit.environment_files}
    work.take(work.reach.read(sorted(wanted), _TEXT_LIMIT))
    units = tuple(systemd.with_environment(unit, work.gathered) for unit in units)
    if work.gathered.answer("units"):
        units = systemd.with_state(units, work.gathered.answer("units"))
    work.units = units


def _applications(work: _Work) -> None:
    cron = work.gathered.matching(*configurations.CRON)
    candidates = [unit for unit in work.units if applications.is_candidate(unit)]
    programs = {applications.command_of(u)[0] for u in candidates if applications.command_of(u)}
    units = [unit.files[0] for unit in work.units]
    work.owners.update(work.reach.owners(sorted({*units, *programs, *cron})))
    work.units = tuple(replace(u, package=work.owners.get(u.files[0])) for u in work.units)
    work.chosen = tuple((u, applications.root_of(u)) for u in work.units
                        if applications.is_candidate(u))  # fmt: skip
    roots = {root for _, root in work.chosen if root}
    states = {
        f"/var/lib/{name}"
        for unit, _ in work.chosen
        for name in (unit.directories.get("StateDirectory", "").split() or
                     [unit.name.removesuffix(".service")])
        if "/" not in name and name not in ("..", ".")
    }  # fmt: skip
    work.take(work.reach.listing(sorted(roots), 12, _MOST_ENTRIES))
    work.take(work.reach.listing((*sorted(states), "/srv", "/var/www", "/data"), 4, _MOST_ENTRIES))
    libraries = ("/usr/local/lib", *(f"{root}/.venv/lib" for root in roots))
    work.take(work.reach.listing(libraries, 4, _MOST_ENTRIES))
    named = [path for unit, _ in work.chosen for path in applications.files_named(unit)]
    work.take(work.reach.listing({str(PurePosixPath(p).parent) for p in named}, 1, _MOST_ENTRIES))
    small = [p for p in _kept_of(work) if work.gathered.entries[p].size <= _PROGRAM_LIMIT]
    wanted = {path for path in (*small, *named, *programs) if not is_interpreter(path)}
    work.take(work.reach.read(sorted(wanted), _PROGRAM_LIMIT))
    packaged = [(u, work.owners[u.files[0]]) for u, _ in work.chosen if u.files[0] in work.owners]
    own = {p for pair in packaged for p in applications.configuration_patterns(*pair)}
    work.take(work.reach.read(sorted(own), _TEXT_LIMIT))
    content = {
        path
        for unit, _ in work.chosen
        for path in _content_of(work, unit)[0]
        if path not in work.gathered.files and work.gathered.entries[path].kind == "f"
    }
    work.take(work.reach.read(sorted(content), _PROGRAM_LIMIT))


def _kept_of(work: _Work) -> list[str]:
    entries = work.gathered.entries
    data = _data(work)
    return [
        path
        for unit, root in work.chosen
        for path in applications.choose_files(unit, root, entries, data)[0]
        if entries[path].kind == "f"
    ]


def _logs(work: _Work) -> None:
    found = configurations.read_configurations(work.gathered)
    outputs = [
        u.output.partition(":")[2]
        for u in work.units
        if u.output.startswith(("append:", "file:", "truncate:"))
    ]
    named = (*outputs, *configurations.tailed_paths(found))
    work.named_logs = named
    elsewhere = {str(PurePosixPath(p).parent) for p in named if not p.startswith("/var/log")}
    work.take(work.reach.listing(sorted(elsewhere), 1, 2000))
    logs = configurations.read_log_files(work.gathered, named)
    wanted = [
        log
        for log in logs
        if log.size
        and (configurations.is_named(log.path, named) or not _OTHER_LOGS.search(log.path))
    ]
    wanted.sort(key=lambda log: (not configurations.is_named(log.path, named), -log.modified))
    tails = work.reach.tails([log.path for log in wanted[:_MOST_LOGS]], _LOG_TAIL)
    read = [read_access_log(path, data.decode("utf-8", "replace"))
            for path, data in tails.files.items()]  # fmt: skip
    work.access_logs = tuple(log for log in read if log is not None)
    # The content of the logs themselves is not kept.
    work.take(Gathered(unseen=tails.unseen))


def _processes(work: _Work) -> tuple[Process, ...]:
    """With the unit that the control group says; where none is seen (a container's host, an old
    kernel), that of the same command line, and its children."""
    found = read_processes(work.gathered)
    commands_ = {applications.command_of(unit): unit.name for unit in work.units if unit.commands}
    units: dict[int, str] = {}
    named = []
    for process in found:
        unit = process.unit or commands_.get(process.arguments) or units.get(process.parent)
        if unit is not None:
            units[process.pid] = unit
        named.append(replace(process, unit=unit))
    return tuple(named)


def _data(work: _Work) -> tuple[DataPlace, ...]:
    processes = _processes(work)
    written = [path for process in processes for path in process.written_files]
    roots = [root for _, root in work.chosen if root]
    roots += [
        e.path
        for e in work.gathered.entries.values()
        if e.kind == "d" and e.path.rpartition("/")[0] in ("/var/lib", "/srv", "/data")
    ]
    listed = {path.rsplit("/", path.count("/") - 3)[0] for path in work.gathered.entries
              if path.startswith("/var/lib/") and path.count("/") > 3}  # fmt: skip
    return applications.find_data(
        (*roots, *sorted(listed), "/var/www"), work.gathered.entries, written, work.now
    )


def _host(work: _Work) -> Host:
    gathered = work.gathered
    processes = _processes(work)
    listeners, peers = read_network(gathered, processes)
    data = _data(work)
    libraries = configurations.read_libraries(gathered, work.owners)
    apps = []
    for unit, root in work.chosen:
        kept, left_out = applications.choose_files(unit, root, gathered.entries, data)
        content, not_kept = _content_of(work, unit)
        kept, left_out = tuple(dict.fromkeys((*kept, *content))), {**left_out, **not_kept}
        described = applications.describe_application(unit, root, kept, left_out, gathered)
        own = [lib for lib in libraries if lib.place.startswith((f"{root}/", "/usr/local/"))]
        named = _named_by_configuration(work, unit)
        apps.append(replace(described, libraries=tuple(own), named=named))
    return Host(
        _system(work),
        work.units or systemd.read_units(gathered),
        processes,
        window_of(gathered),
        listeners,
        peers,
        configurations.read_packages(gathered),
        _programs(work),
        (*configurations.read_configurations(gathered), *_of_programs(work)),
        configurations.read_cron(gathered, work.owners),
        configurations.read_log_files(gathered, work.named_logs),
        work.access_logs,
        data,
        configurations.read_mounts(gathered),
        configurations.read_swap_mib(gathered),
        configurations.read_certificates(gathered),
        tuple(apps),
        configurations.read_users(gathered),
    )


def _named_by_configuration(work: _Work, unit: Unit) -> tuple[str, ...]:
    """Directories of content: what lies under /var/www, /srv or /data and its configuration names.
    One that is inside another is with it."""
    patterns = applications.configuration_patterns(unit, work.owners.get(unit.files[0]))
    known = (*configurations.KINDS["nginx"], *configurations.KINDS["apache"])
    mine = [p for p in known if p.startswith(f"/etc/{unit.name.removesuffix('.service')}/")]
    texts = [work.gathered.text(path) for path in work.gathered.matching(*patterns, *mine)]
    words = {w.rstrip("/;,") for text in texts for w in _CONTENT.findall(_COMMENTED.sub("", text))}
    found = sorted(word for word in words if word in work.gathered.entries)
    return tuple(w for w in found if not any(w.startswith(f"{other}/") for other in found))


def _content_of(work: _Work, unit: Unit) -> tuple[tuple[str, ...], dict[str, str]]:
    """The files in those directories: what to keep, and what is left out, with the reason."""
    kept: dict[str, None] = {}
    left_out: dict[str, str] = {}
    data = _data(work)
    for directory in _named_by_configuration(work, unit):
        found, not_kept = applications.choose_files(unit, directory, work.gathered.entries, data)
        kept |= dict.fromkeys(path for path in found if path.startswith(f"{directory}/"))
        left_out |= {p: why for p, why in not_kept.items() if p.startswith(f"{directory}/")}
    return tuple(kept), left_out


def _of_programs(work: _Work) -> tuple[Configuration, ...]:
    """Below /etc, of applications that a package brought, or named on their command lines."""
    patterns = [p for unit, _ in work.chosen for p in (
        *applications.configuration_patterns(unit, work.owners.get(unit.files[0])),
        *applications.files_named(unit),
    ) if p.startswith("/etc/")]  # fmt: skip
    known = [p for ps in configurations.KINDS.values() for p in ps]
    gathered = work.gathered
    return tuple(
        Configuration(path, "program", gathered.text(path), path not in gathered.partial)
        for path in gathered.matching(*patterns)
        if not any(matches(path, p) for p in known) and b"\0" not in gathered.files[path]
    )


def _programs(work: _Work) -> tuple[Program, ...]:
    found = {}
    for unit, _ in work.chosen:
        for path in applications.files_named(unit):
            entry = work.gathered.entries.get(path)
            if entry is not None and entry.kind == "d":
                continue
            data = work.gathered.files.get(path)
            if data is None:
                is_program = path == applications.command_of(unit)[0]
                kind = "interpreter" if is_interpreter(path) else "missing"
                if is_program:
                    found[path] = Program(path, kind, work.owners.get(path))
            else:
                size = entry.size if entry else 0
                found[path] = describe(path, data, work.owners.get(path), size)
    return tuple(found[path] for path in sorted(found))


def _system(work: _Work) -> System:
    gathered = work.gathered
    text = gathered.text("/etc/os-release") or gathered.text("/usr/lib/os-release")
    release = systemd.parse_environment_file(text)
    uname = gathered.answer("uname").split()
    memory = re.search(r"^MemTotal:\s+(\d+) kB", gathered.answer("meminfo"), re.MULTILINE)
    cpus = gathered.answer("cpus").strip()
    return System(
        work.reach.address,
        release.get("ID", ""),
        release.get("VERSION_ID", ""),
        release.get("PRETTY_NAME", ""),
        uname[1] if len(uname) > 1 else "",
        uname[-1] if uname else _architecture(gathered),
        int(cpus) if cpus.isdigit() else 0,
        int(memory.group(1)) // 1024 if memory else 0,
        gathered.answer("id").strip() == "0",
    )


def _architecture(gathered: Gathered) -> str:
    """Of a tree: by the machine in the head of any program that was read."""
    machines = {62: "x86_64", 183: "aarch64"}
    for data in gathered.files.values():
        if data[:4] == b"\x7fELF" and len(data) > 20:
            return machines.get(int.from_bytes(data[18:20], "little"), "")
    return ""


def _not_seen(work: _Work, host: Host) -> Iterable[Unseen]:
    answers = work.gathered.answers
    if answers and not host.system.is_root:
        hidden = sum(p.open_files is None for p in host.processes)
        if hidden:
            yield Unseen(
                f"open files, directories and sockets' owners of {hidden} of "
                f"{len(host.processes)} processes",
                "they belong to other users",
                "survey as root, or as the service's user",
            )
        yield Unseen("crontabs of other users", "only root may read them", "survey as root")
    for name, what in (("units", "the state of units"), ("net", "sockets")):
        if answers and not answers.get(name):
            yield Unseen(what, f"the host did not answer `{commands.FACTS[name].split()[0]}`")
    for unit in host.units:
        for path in unit.missing_files:
            yield Unseen(path, f"the environment file of {unit.name} could not be read", "as root")
    read = work.gathered.files
    for path in rpm.OLDER:
        if path in read:
            why = "an rpm database in Berkeley DB's format is not read in a tree"
            yield Unseen(path, why, "survey the running host: --host ssh://user@host")
    for path in rpm.DATABASES:
        if path in read:
            try:
                rpm.read_rpm(read[path])
            except ValueError as error:
                yield Unseen(path, f"the rpm database cannot be read: {error}")
    patterns = [p for ps in configurations.KINDS.values() for p in ps]
    for path, entry in work.gathered.entries.items():
        if entry.kind == "f" and path not in read and any(matches(path, p) for p in patterns):
            yield Unseen(path, "it could not be read", "survey as root")
    for application in host.applications:
        for path in application.kept:
            entry = work.gathered.entries[path]
            if entry.kind == "f" and path not in read and entry.size:
                yield Unseen(path, "it could not be read", "survey as the service's user")


def _keep(work: _Work, application: Application, survey: HostSurvey) -> None:
    for path in application.kept:
        entry = work.gathered.entries[path]
        if entry.kind == "l":
            survey.links[path] = entry.link
        elif path in work.gathered.files:
            survey.kept[path] = (work.gathered.files[path], entry.mode)


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


__all__ = ["Entry", "HostSurvey", "survey_host", "write_kept"]
