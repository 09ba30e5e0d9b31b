"""systemd units from their files, as systemd.unit(5), .service(5) and .exec(5) say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from hikkoshi.base.units import parse_duration
from hikkoshi.model.survey import Unit
from hikkoshi.survey.gathered import Gathered

# Highest first: a file of the same name in an earlier one hides the later.
PLACES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
KINDS = (".service", ".timer", ".socket")
_SECTION = re.compile(r"^\[([^\]]+)\]\s*$")
# ExecStart's prefixes: - + ! !! @ :
_PREFIX = re.compile(r"^[-+!:|]*")
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_ENVIRONMENT_NAME = re.compile(r"^[A-Za-z_]\w*$")
_ESCAPES = {"n": "\n", "t": "\t", "s": " ", "\\": "\\", '"': '"', "'": "'", "r": "\r"}
_MOST_FILES = 4000


@dataclass(slots=True)
class _Text:
    """section.key → values in order; an empty assignment forgets what came before."""

    values: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def read(self, text: str) -> None:
        section = ""
        for line in _logical_lines(text):
            if match := _SECTION.match(line):
                section = match.group(1)
            elif "=" in line:
                key, _, value = line.partition("=")
                values = self.values.setdefault((section, key.strip()), [])
                if value.strip():
                    values.append(value.strip())
                else:
                    values.clear()

    def all(self, section: str, key: str) -> list[str]:
        return self.values.get((section, key), [])

    def last(self, section: str, key: str, default: str = "") -> str:
        values = self.all(section, key)
        return values[-1] if values else default


def _logical_lines(text: str) -> Iterator[str]:
    open_ = ""
    for raw in text.splitlines():
        line = raw.strip()
        if not open_ and (not line or line[0] in "#;"):
            continue
        if open_ and line[:1] in ("#", ";"):
            continue
        if raw.endswith("\\"):
            open_ += raw[:-1].strip() + " "
            continue
        yield (open_ + line).strip()
        open_ = ""
    if open_:
        yield open_.strip()


def read_units(gathered: Gathered) -> tuple[Unit, ...]:
    """Of services, timers and sockets; one of a template only where it is enabled."""
    found: dict[str, str] = {}
    for place in reversed(PLACES):
        for path in gathered.matching(*(f"{place}/*{kind}" for kind in KINDS)):
            found[PurePosixPath(path).name] = path
    enabled = _enabled(gathered)
    instances = {name for name in enabled if "@" in name and not name.split("@")[1].startswith(".")}
    names = [name for name in found if "@." not in name]
    units = []
    for name in sorted({*names, *instances})[:_MOST_FILES]:
        template = re.sub(r"@[^.]*\.", "@.", name)
        file = found.get(name) or found.get(template)
        if file is not None:
            units.append(_read(gathered, name, template, file, name in enabled))
    # A service is started by its socket, and need not be enabled itself.
    by_socket = {u.starts for u in units if u.name.endswith(".socket") and u.is_enabled}
    return tuple(replace(u, is_enabled=True) if u.name in by_socket else u for u in units)


def _enabled(gathered: Gathered) -> frozenset[str]:
    """Names that a `.wants` or `.requires` directory links to."""
    return frozenset(
        PurePosixPath(path).name
        for path in (*gathered.entries, *gathered.files)
        if any(path.startswith(place + "/") for place in PLACES)
        and PurePosixPath(path).parent.name.endswith((".wants", ".requires"))
    )


def _read(gathered: Gathered, name: str, template: str, path: str, is_enabled: bool) -> Unit:
    text = _Text()
    text.read(gathered.text(path))
    patterns = [f"{place}/{base}.d/*.conf" for base in {name, template} for place in PLACES]
    drop_ins = {PurePosixPath(p).name: p for p in reversed(gathered.matching(*patterns))}
    order = [drop_ins[key] for key in sorted(drop_ins)]
    for drop_in in order:
        text.read(gathered.text(drop_in))
    instance = name.split("@", 1)[1].rpartition(".")[0] if "@" in name else ""
    unit = _unit(text, name, (path, *order), instance)
    return replace(unit, is_enabled=is_enabled)


def _unit(text: _Text, name: str, files: tuple[str, ...], instance: str) -> Unit:
    def one(section: str, key: str, default: str = "") -> str:
        return _specifiers(text.last(section, key, default), name, instance)

    def words(section: str, key: str) -> tuple[str, ...]:
        joined = " ".join(text.all(section, key))
        return tuple(_specifiers(word, name, instance) for word in split_words(joined))

    service = "Service"
    environment: dict[str, str] = {}
    for word in words(service, "Environment"):
        key, equals, value = word.partition("=")
        if equals and _ENVIRONMENT_NAME.match(key):
            environment[key] = value
    schedule = tuple(
        f"{key}={value}"
        for key in ("OnCalendar", "OnBootSec", "OnUnitActiveSec", "OnActiveSec")
        for value in text.all("Timer", key)
    )
    limits = {
        key: text.last(service, key)
        for section, key in text.values
        if section == service and key.startswith("Limit")
    }
    kept = ("StateDirectory", "CacheDirectory", "LogsDirectory", "RuntimeDirectory")
    directories = {key: one(service, key) for key in kept if one(service, key)}
    try:
        restart_s = parse_duration(one(service, "RestartSec", "100ms").replace("sec", "s"))
    except ValueError:
        restart_s = 0.1
    return Unit(
        name,
        files,
        one("Unit", "Description"),
        one(service, "Type"),
        commands=_commands(text.all(service, "ExecStart"), name, instance),
        before_start=_commands(text.all(service, "ExecStartPre"), name, instance),
        user=one(service, "User", "root"),
        working_directory=one(service, "WorkingDirectory").lstrip("-").strip(),
        environment=environment,
        environment_files=words(service, "EnvironmentFile"),
        limits=limits,
        restart=one(service, "Restart"),
        restart_s=restart_s,
        output=one(service, "StandardOutput"),
        directories=directories,
        needs=tuple(dict.fromkeys((*words("Unit", "Requires"), *words("Unit", "Wants"),
                                   *words("Unit", "BindsTo"), *words("Unit", "After")))),
        schedule=schedule,
        starts=_starts(text, name, bool(schedule)),
        listens=words("Socket", "ListenStream"),
    )  # fmt: skip


def _starts(text: _Text, name: str, has_schedule: bool) -> str:
    stem, _, kind = name.rpartition(".")
    if kind == "socket":
        # With Accept=yes there is a service for each connection.
        is_each = text.last("Socket", "Accept").lower() in ("yes", "true", "on", "1")
        return text.last("Socket", "Service", "" if is_each else f"{stem}.service")
    return text.last("Timer", "Unit", f"{stem}.service" if has_schedule else "")


def _commands(values: Iterable[str], name: str, instance: str) -> tuple[tuple[str, ...], ...]:
    commands = []
    for value in values:
        stripped = _PREFIX.sub("", value)
        has_own_name = stripped.startswith("@")
        words = [_specifiers(w, name, instance) for w in split_words(stripped.lstrip("@"))]
        if has_own_name and len(words) > 1:
            del words[1]
        if words:
            commands.append(tuple(words))
    return tuple(commands)


def split_words(text: str) -> list[str]:
    """systemd's own splitting: quotes and C escapes, no shell."""
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == "\\" and position < len(text):
            word = [*(word or []), _ESCAPES.get(text[position], "\\" + text[position])]
            position += 1
        elif quote:
            if char == quote:
                quote = ""
            else:
                word = word or []
                word.append(char)
        elif char in "\"'" and not word:
            quote, word = char, word or []
        elif char.isspace():
            if word is not None:
                words.append("".join(word))
            word = None
        else:
            word = word if word is not None else []
            word.append(char)
    if word is not None:
        words.append("".join(word))
    return words


def _specifiers(text: str, name: str, instance: str) -> str:
    values = {"n": name, "N": name.rpartition(".")[0], "i": instance, "I": instance, "%": "%",
              "p": name.rpartition(".")[0].partition("@")[0], "t": "/run", "S": "/var/lib",
              "C": "/var/cache", "L": "/var/log", "E": "/etc"}  # fmt: skip
    return re.sub(r"%([nNiIptSCLE%])", lambda m: values[m.group(1)], text)


def parse_environment_file(text: str) -> dict[str, str]:
    """`NAME=value` lines, quotes and continuations as systemd reads them. Never executed."""
    found: dict[str, str] = {}
    for line in re.sub(r"\\\n", "", text).splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or not _ENVIRONMENT_NAME.match(name.strip()):
            continue
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name.strip()] = value
    return found


def with_environment(unit: Unit, gathered: Gathered) -> Unit:
    """Lays the environment files over Environment=, as systemd does; a name may be a pattern."""
    environment = dict(unit.environment)
    missing = []
    for name in unit.environment_files:
        path = name.lstrip("-")
        found = [path] if path in gathered.files else gathered.matching(path)
        for file in found:
            environment |= parse_environment_file(gathered.text(file))
        if not found and not name.startswith("-"):
            missing.append(path)
    return replace(unit, environment=environment, missing_files=tuple(missing))


def expand(words: Iterable[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """`$NAME` alone becomes several words, `${NAME}` stays one, as systemd does it."""
    out: list[str] = []
    for word in words:
        alone = re.fullmatch(r"\$(\w+)", word)
        if alone:
            out += split_words(environment.get(alone.group(1), ""))
        else:
            out.append(_VARIABLE.sub(lambda m: environment.get(m.group(1) or m.group(2), ""), word))
    return tuple(out)


def with_state(units: Iterable[Unit], shown: str) -> tuple[Unit, ...]:
    """What `systemctl show` says of the running system, laid over what the files say."""
    state: dict[str, dict[str, str]] = {}
    for block in shown.split("\n\n"):
        pairs = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        if "Id" in pairs:
            state[pairs["Id"]] = pairs
    out = []
    for unit in units:
        pairs = state.get(unit.name, {})
        pid = pairs.get("MainPID", "0")
        limits = dict(unit.limits)
        if unit.commands and "LimitNOFILE" in limits and pairs.get("LimitNOFILE", "").isdigit():
            limits["LimitNOFILE"] = pairs["LimitNOFILE"]
        out.append(
            replace(
                unit,
                is_active=pairs["ActiveState"] == "active" if "ActiveState" in pairs else None,
                is_enabled=unit.is_enabled or pairs.get("UnitFileState") == "enabled",
                main_pid=int(pid) if pid.isdigit() and pid != "0" else None,
                limits=limits,
            )
        )
    return tuple(out)
