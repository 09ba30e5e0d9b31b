"""The host as one value, drawn from what was gathered of it: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from hikkoshi.model.survey import (
    AccessLog,
    Configuration,
    DataPlace,
    Host,
    Process,
    Program,
    System,
    Unit,
    Unseen,
)
from hikkoshi.survey import applications, commands, configurations, rpm, supervised, systemd
from hikkoshi.survey.gathered import Entry, Gathered, matches
from hikkoshi.survey.network import read_network
from hikkoshi.survey.processes import read_processes, window_of
from hikkoshi.survey.programs import describe, is_interpreter

_CONTENT = re.compile(r"(?<![\w/])/(?:var/www|srv|data)/[\w./-]+")
_CONFIGURATION = re.compile(r"\.(?:ini|conf|cfg|toml|ya?ml)$|conf(?:ig)?\.py$")
_COMMENTED = re.compile(r"^\s*[#;].*$", re.MULTILINE)


@dataclass(slots=True)
class Seen:
    """What the steps of a survey have gathered so far. owners: path → package. chosen: units that
    could be the application, with the directory that is theirs. named_logs: of units and agents."""

    address: str
    now: float
    gathered: Gathered = field(default_factory=Gathered)
    owners: dict[str, str] = field(default_factory=dict)
    units: tuple[Unit, ...] = ()
    access_logs: tuple[AccessLog, ...] = ()
    chosen: tuple[tuple[Unit, str], ...] = ()
    named_logs: tuple[str, ...] = ()

    def take(self, gathered: Gathered) -> None:
        self.gathered = self.gathered.joined(gathered)


def draw(seen: Seen) -> Host:
    gathered = seen.gathered
    processes = _processes(seen)
    listeners, peers = read_network(gathered, processes)
    data = data_places(seen)
    libraries = configurations.read_libraries(gathered, seen.owners)
    apps = []
    for unit, root in seen.chosen:
        kept, left_out = applications.choose_files(unit, root, gathered.entries, data)
        content, not_kept = content_of(seen, unit)
        kept, left_out = tuple(dict.fromkeys((*kept, *content))), {**left_out, **not_kept}
        left_out |= applications.installed_elsewhere(root, kept, gathered)
        described = applications.describe_application(unit, root, kept, left_out, gathered)
        own = [lib for lib in libraries if lib.place.startswith((f"{root}/", "/usr/local/"))]
        named = named_by_configuration(seen, unit)
        apps.append(replace(described, libraries=tuple(own), named=named))
    return Host(
        _system(seen),
        seen.units or systemd.read_units(gathered),
        processes,
        window_of(gathered),
        listeners,
        peers,
        configurations.read_packages(gathered),
        _programs(seen),
        (*configurations.read_configurations(gathered), *_of_programs(seen)),
        configurations.read_cron(gathered, seen.owners),
        configurations.read_log_files(gathered, seen.named_logs),
        seen.access_logs,
        data,
        configurations.read_mounts(gathered),
        configurations.read_swap_mib(gathered),
        configurations.read_certificates(gathered),
        tuple(apps),
        configurations.read_users(gathered),
    )


def _processes(seen: Seen) -> tuple[Process, ...]:
    """With the unit that the control group says; where none is seen (a container's host, an old
    kernel), that of the same command line, and its children."""
    found = read_processes(seen.gathered)
    starters = supervised.starters(seen.units)
    commands_ = {applications.command_of(unit): unit.name for unit in seen.units if unit.commands}
    units: dict[int, str] = {}
    named = []
    for process in found:
        said, same = process.unit, commands_.get(process.arguments)
        inherited = units.get(process.parent)
        if said in starters and (same or (inherited and inherited not in starters)):
            said = None  # The control group is the supervisor's: its programs are told apart.
        unit = said or same or inherited
        if unit is not None:
            units[process.pid] = unit
        named.append(replace(process, unit=unit))
    return tuple(named)


def data_places(seen: Seen) -> tuple[DataPlace, ...]:
    processes = _processes(seen)
    written = [path for process in processes for path in process.written_files]
    roots = [root for _, root in seen.chosen if root]
    roots += [
        e.path
        for e in seen.gathered.entries.values()
        if e.kind == "d" and e.path.rpartition("/")[0] in ("/var/lib", "/srv", "/data")
    ]
    listed = {path.rsplit("/", path.count("/") - 3)[0] for path in seen.gathered.entries
              if path.startswith("/var/lib/") and path.count("/") > 3}  # fmt: skip
    return applications.find_data(
        (*roots, *sorted(listed), "/var/www"), seen.gathered.entries, written, seen.now
    )


def named_by_configuration(seen: Seen, unit: Unit) -> tuple[str, ...]:
    """Directories of content: what lies under /var/www, /srv or /data and its configuration names.
    One that is inside another is with it."""
    patterns = applications.configuration_patterns(unit, seen.owners.get(unit.files[0]))
    known = (*configurations.KINDS["nginx"], *configurations.KINDS["apache"])
    mine = [p for p in known if p.startswith(f"/etc/{unit.name.removesuffix('.service')}/")]
    texts = [seen.gathered.text(path) for path in seen.gathered.matching(*patterns, *mine)]
    words = {w.rstrip("/;,") for text in texts for w in _CONTENT.findall(_COMMENTED.sub("", text))}
    entries = seen.gathered.entries
    found = sorted({_whole(word, entries) for word in words if word in entries})
    return tuple(w for w in found if not any(w.startswith(f"{other}/") for other in found))


def _whole(directory: str, entries: Mapping[str, Entry]) -> str:
    """The project of which only a directory is served: Composer's file lies beside that one."""
    parent, _, name = directory.rpartition("/")
    is_served = name in ("public", "web", "webroot", "htdocs", "pub", "public_html")
    return parent if is_served and f"{parent}/composer.json" in entries else directory


def content_of(seen: Seen, unit: Unit) -> tuple[tuple[str, ...], dict[str, str]]:
    """The files in those directories: what to keep, and what is left out, with the reason."""
    kept: dict[str, None] = {}
    left_out: dict[str, str] = {}
    data = data_places(seen)
    for directory in named_by_configuration(seen, unit):
        found, not_kept = applications.choose_files(unit, directory, seen.gathered.entries, data)
        kept |= dict.fromkeys(path for path in found if path.startswith(f"{directory}/"))
        left_out |= {p: why for p, why in not_kept.items() if p.startswith(f"{directory}/")}
    return tuple(kept), left_out


def _of_programs(seen: Seen) -> tuple[Configuration, ...]:
    """Below /etc, of applications that a package brought, or named on their command lines; and what
    is named there and is a configuration by its name, wherever it lies."""
    patterns = [p for unit, _ in seen.chosen for p in (
        *applications.configuration_patterns(unit, seen.owners.get(unit.files[0])),
        *applications.files_named(unit),
    ) if p.startswith("/etc/") or _CONFIGURATION.search(p)]  # fmt: skip
    known = [p for ps in configurations.KINDS.values() for p in ps]
    gathered = seen.gathered
    return tuple(
        Configuration(path, "program", gathered.text(path), path not in gathered.partial)
        for path in gathered.matching(*patterns)
        if not any(matches(path, p) for p in known) and b"\0" not in gathered.files[path]
    )


def _programs(seen: Seen) -> tuple[Program, ...]:
    found = {}
    for unit, _ in seen.chosen:
        for path in applications.files_named(unit):
            entry = seen.gathered.entries.get(path)
            if entry is not None and entry.kind == "d":
                continue
            data = seen.gathered.files.get(path)
            if data is None:
                is_program = path == applications.command_of(unit)[0]
                kind = "interpreter" if is_interpreter(path) else "missing"
                if is_program:
                    found[path] = Program(path, kind, seen.owners.get(path))
            else:
                size = entry.size if entry else 0
                found[path] = describe(path, data, seen.owners.get(path), size)
    return tuple(found[path] for path in sorted(found))


def _system(seen: Seen) -> System:
    gathered = seen.gathered
    text = gathered.text("/etc/os-release") or gathered.text("/usr/lib/os-release")
    release = systemd.parse_environment_file(text)
    uname = gathered.answer("uname").split()
    memory = re.search(r"^MemTotal:\s+(\d+) kB", gathered.answer("meminfo"), re.MULTILINE)
    cpus = gathered.answer("cpus").strip()
    return System(
        seen.address,
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


def not_seen(seen: Seen, host: Host) -> Iterable[Unseen]:
    answers = seen.gathered.answers
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
    read = seen.gathered.files
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
    for path, entry in seen.gathered.entries.items():
        if entry.kind == "f" and path not in read and any(matches(path, p) for p in patterns):
            yield Unseen(path, "it could not be read", "survey as root")
    for application in host.applications:
        for path in application.kept:
            entry = seen.gathered.entries[path]
            if entry.kind == "f" and path not in read and entry.size:
                yield Unseen(path, "it could not be read", "survey as the service's user")
