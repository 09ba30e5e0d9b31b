"""What a survey saw: the values of survey.json.

Texts may hold `⟨secret NAME FINGERPRINT⟩` where a secret stood. Times are Unix seconds, sizes bytes
unless a name says otherwise. Everything that came from a host is data: it is never executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = 1
"""Of survey.json. It changes when a reader of the old one would misread the new one."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """what was not seen, why, and what would show it."""

    what: str
    why: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Secret:
    """Something secret that was left out. name: of the variable or key it stood under. where: the
    file, process or unit. fingerprint: keyed; equal within one survey for equal secrets."""

    name: str
    where: str
    kind: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class System:
    """id and version are os-release's; address is what the tool was pointed at. tree: where the
    host's whole disk lies on this machine; "" if it does not."""

    address: str
    id: str = ""
    version: str = ""
    name: str = ""
    kernel: str = ""
    architecture: str = ""
    cpus: int = 0
    memory_mib: int = 0
    is_root: bool = False
    tree: str = ""


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit with its drop-ins laid over it.

    commands: ExecStart, split into words as systemd does. environment: of Environment= and the
    files in environment_files. schedule: of a timer. listens: of a socket. starts: what either
    starts. missing_files: environment files not read."""

    name: str
    files: tuple[str, ...]
    description: str = ""
    type: str = ""
    package: str | None = None
    is_enabled: bool = False
    is_active: bool | None = None
    commands: tuple[tuple[str, ...], ...] = ()
    before_start: tuple[tuple[str, ...], ...] = ()
    user: str = "root"
    working_directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    environment_files: tuple[str, ...] = ()
    missing_files: tuple[str, ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict)
    restart: str = ""
    restart_s: float = 0.1
    output: str = ""
    directories: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    schedule: tuple[str, ...] = ()
    starts: str = ""
    listens: tuple[str, ...] = ()
    main_pid: int | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """cpu_share: of one core, over the window. memory_mib: resident; peak_mib: its high water.
    nofile: (soft, hard). open_files None: not allowed to look."""

    pid: int
    parent: int
    name: str
    arguments: tuple[str, ...]
    uid: int
    unit: str | None = None
    executable: str | None = None
    directory: str | None = None
    memory_mib: float = 0.0
    peak_mib: float = 0.0
    cpu_share: float = 0.0
    cpu_share_of_life: float = 0.0
    threads: int = 1
    nofile: tuple[int, int] | None = None
    open_files: int | None = None
    written_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listener:
    port: int
    address: str
    protocol: str
    uid: int
    pid: int | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """Connections that the host has opened to one address and port. kind: what the port says."""

    address: str
    port: int
    connections: int
    kind: str = ""
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Program:
    """A file that is started. kind: elf-static, elf-dynamic, zipapp, script, text, interpreter,
    missing or unknown. libraries: DT_NEEDED of the file, if it was read."""

    path: str
    kind: str
    package: str | None = None
    interpreter: str | None = None
    size: int = 0
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """A file of a program that was recognised. kind: fluentd, rsyslog, cloudwatch, nginx, apache,
    logrotate, or program: of an application that a package brought."""

    path: str
    kind: str
    text: str
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class CronJob:
    where: str
    schedule: str
    user: str
    command: str
    package: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Requests of one kind. template: the path with {n} for what varies. examples: paths as they
    were asked for, most frequent first, with their share of this endpoint."""

    method: str
    template: str
    count: int
    statuses: Mapping[str, int]
    examples: tuple[tuple[str, float], ...]
    p99_ms: float | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class AccessLog:
    """peak_rate: requests in the busiest second. peer_checks: paths that a load balancer's health
    checker asked for, with the status it got."""

    path: str
    form: str
    lines: int
    first: float | None
    last: float | None
    peak_rate: float
    mean_rate: float
    endpoints: tuple[Endpoint, ...]
    peer_checks: Mapping[str, int] = field(default_factory=dict)
    sample: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogFile:
    path: str
    size: int
    modified: float


@dataclass(frozen=True, slots=True)
class DataPlace:
    """A directory, or database file, that is written to. newest: the last write seen."""

    path: str
    kind: str
    files: int
    size: int
    newest: float
    recent_files: int
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    path: str
    device: str
    type: str


@dataclass(frozen=True, slots=True)
class Certificate:
    path: str
    subject: str
    names: tuple[str, ...]
    not_after: float


@dataclass(frozen=True, slots=True)
class Library:
    """A Python distribution that no package of the system owns."""

    name: str
    version: str
    place: str


@dataclass(frozen=True, slots=True)
class Application:
    """What a unit that matters runs. root: where its own files lie. kept: those that were copied
    beside the survey; left_out: path → why. imports: Python modules that it asks for. named: paths
    outside /etc that its configuration names and that are there."""

    unit: str
    root: str
    kept: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    schemas: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    paths_in_code: tuple[str, ...] = ()
    libraries: tuple[Library, ...] = ()
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    system: System
    units: tuple[Unit, ...] = ()
    processes: tuple[Process, ...] = ()
    window_s: float = 0.0
    listeners: tuple[Listener, ...] = ()
    peers: tuple[Peer, ...] = ()
    packages: tuple[Package, ...] = ()
    programs: tuple[Program, ...] = ()
    configurations: tuple[Configuration, ...] = ()
    cron: tuple[CronJob, ...] = ()
    log_files: tuple[LogFile, ...] = ()
    access_logs: tuple[AccessLog, ...] = ()
    data: tuple[DataPlace, ...] = ()
    mounts: tuple[Mount, ...] = ()
    swap_mib: int = 0
    certificates: tuple[Certificate, ...] = ()
    applications: tuple[Application, ...] = ()
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """A thing of the account. kind: CloudFormation's type; properties: as its service describes
    it, in AWS's shape."""

    kind: str
    id: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """source: the account, or the template that it was read from."""

    source: str
    region: str
    account_id: str = ""
    resources: tuple[Resource, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """survey.json, whole. files: the directory beside it that holds the applications' files."""

    made_at: float
    host: Host | None = None
    account: Account | None = None
    not_seen: tuple[Unseen, ...] = ()
    secrets: tuple[Secret, ...] = ()
    files: str | None = None
    round_trips: int = 0
    seconds: float = 0.0
    version: int = VERSION
