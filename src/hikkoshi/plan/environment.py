"""The application's environment in the task: plain values, and secrets as references."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hikkoshi.model.survey import Account, Host, Peer, Unit
from hikkoshi.plan.account import database_parameters
from hikkoshi.plan.choice import Notebook

MARK = re.compile(r"⟨secret (\S+) (\w+)⟩")
_DATABASE_SCHEME = re.compile(r"^(?:jdbc:)?(postgres(?:ql)?|mysql2?|mariadb|aurora)(?:\+\w+)?://")
_PARTS: tuple[tuple[str, str], ...] = (
    (r"(?:^|_)(?:DB|PG|POSTGRES|POSTGRESQL|DATABASE|RDS|MYSQL)_?(?:HOST|HOSTNAME|ENDPOINT|SERVER)$",
     "{endpoint}"),
    (r"(?:^|_)(?:DB|PG|POSTGRES|POSTGRESQL|DATABASE|RDS|MYSQL)_?PORT$", "{port}"),
    (r"(?:^|_)(?:DB|PG|POSTGRES|POSTGRESQL|DATABASE|RDS|MYSQL)_?(?:PASSWORD|PASS|PASSWD|PWD)$",
     "{password}"),
    (r"(?:^|_)(?:DB|PG|POSTGRES|POSTGRESQL|DATABASE|RDS|MYSQL)_?(?:USER|USERNAME)$", "{user}"),
    (r"(?:^|_)(?:DB|PG|POSTGRES|POSTGRESQL|DATABASE|RDS|MYSQL)_?(?:NAME|DATABASE|DB)$|^PGDATABASE$",
     "{name}"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stand:
    """The database that the service calls. engine as RDS names it."""

    engine: str
    cluster: str
    name: str
    user: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Environment:
    """plain: NAME → value. references: NAME → SSM parameter. rehearsal: parameter → what stands in
    it here."""

    plain: Mapping[str, str]
    references: Mapping[str, str]
    rehearsal: Mapping[str, str]
    database: Stand | None
    unknown_secrets: tuple[str, ...] = ()


def plan_environment(
    service: str, unit: Unit, host: Host, account: Account | None, notebook: Notebook
) -> Environment:
    database = find_database(service, unit, host, account, notebook)
    plain: dict[str, str] = {}
    references: dict[str, str] = {}
    rehearsal: dict[str, str] = {}
    unknown: list[str] = []
    for name, value in sorted(unit.environment.items()):
        template = _template(name, value, database)
        if template is None and not MARK.search(value):
            plain[name] = value
            continue
        parameter = parameter_name(service, name)
        references[name] = parameter
        if template is None:
            template = MARK.sub("{generated}", value.replace("{", "(").replace("}", ")"))
            unknown.append(name)
        rehearsal[parameter] = template
    if references:
        notebook.note(
            "secrets",
            ", ".join(references),
            "they are secret, or differ between the rehearsal and AWS: the task refers to SSM "
            "parameters, whose ARNs are known before they exist (a Secrets Manager ARN ends in six "
            "characters that AWS makes up)",
        )
    return Environment(plain, references, rehearsal, database, tuple(unknown))


def parameter_name(service: str, name: str) -> str:
    return f"/{service}/{name.lower().replace('_', '-')}"


def find_database(
    service: str, unit: Unit, host: Host, account: Account | None, notebook: Notebook
) -> Stand | None:
    for name, value in unit.environment.items():
        scheme = _DATABASE_SCHEME.match(value)
        if scheme:
            return _from_url(service, name, value, scheme[1], account, notebook)
    split = {
        part: value
        for name, value in unit.environment.items()
        for pattern, part in _PARTS
        if re.search(pattern, name)
    }
    peers = [p for p in host.peers if p.kind in ("postgresql", "mysql") and
             p.unit in (None, unit.name)]  # fmt: skip
    if "{endpoint}" in split or peers:
        return _from_parts(service, split, peers, account, notebook)
    return None


def _from_url(
    service: str, variable: str, value: str, scheme: str, account: Account | None, book: Notebook
) -> Stand:
    parts = urlsplit(MARK.sub("x", value.removeprefix("jdbc:")))
    engine = "aurora-postgresql" if scheme.startswith("postgres") else "aurora-mysql"
    host = parts.hostname or ""
    cluster = host.partition(".")[0] if ".rds.amazonaws.com" in host else service
    name = parts.path.strip("/") or service
    book.note("database", engine, f"{variable} of the unit names it: {host}/{name}")
    user = parts.username or service
    return Stand(engine, _identifier(cluster), name, user, database_parameters(account))


def _from_parts(
    service: str,
    split: Mapping[str, str],
    peers: list[Peer],
    account: Account | None,
    book: Notebook,
) -> Stand:
    port = split.get("{port}", str(peers[0].port) if peers else "5432")
    engine = "aurora-mysql" if port == "3306" else "aurora-postgresql"
    host = split.get("{endpoint}", peers[0].address if peers else "")
    seen = f"; {sum(p.connections for p in peers)} connections to it were open" if peers else ""
    book.note("database", engine, f"the unit calls {host}:{port}{seen}")
    cluster = host.partition(".")[0] if ".rds.amazonaws.com" in host else service
    return Stand(
        engine,
        _identifier(cluster),
        split.get("{name}", service),
        split.get("{user}", service),
        database_parameters(account),
    )


def _identifier(text: str) -> str:
    cleaned = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    return cleaned if cleaned[:1].isalpha() else f"db-{cleaned}"


def _template(name: str, value: str, database: Stand | None) -> str | None:
    """What stands for a value that names the database; None for any other."""
    if database is None:
        return None
    scheme = _DATABASE_SCHEME.match(value)
    if scheme:
        query = urlsplit(MARK.sub("x", value)).query
        kept = "&".join(p for p in query.split("&") if p and not p.startswith("ssl"))
        head = value[: scheme.end()]
        tail = f"?{kept}" if kept else ""
        return f"{head}{{user}}:{{password}}@{{endpoint}}:{{port}}/{{name}}{tail}"
    for pattern, part in _PARTS:
        if re.search(pattern, name):
            return part
    return None
