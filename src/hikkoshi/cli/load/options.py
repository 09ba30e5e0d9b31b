"""The options that say what is sent, where and by which means: attack, capacity and soak alike."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from hikkoshi.base.errors import BadInput, HikkoshiError
from hikkoshi.base.units import parse_duration, parse_rate
from hikkoshi.load.attack import Attack, Tls
from hikkoshi.load.formats.found import Found
from hikkoshi.load.formats.reading import FORMATS, parse_found, read_found
from hikkoshi.load.pacer import Pacer, constant, parse_stages

EXAMPLES = """
\b
Examples:
  echo "GET http://localhost:8080/" | hikkoshi load --rate 200/s --duration 30s
  hikkoshi load --targets reports.http --base-url http://localhost:8080 \\
      --stages 0..500/30s,500/60s --expect 'p99<300ms, errors<0.1%' -o run.load
  hikkoshi load --targets alb.log.gz --base-url http://localhost:8080 --rate 50/s
  hikkoshi load --targets users.http --feed users.csv --rate max --connections 50
  hikkoshi load --targets reports.http --base-url https://reports.example.com --rate 20000/s \\
      --connections 8000 --tasks 8 --cluster load --task-definition hikkoshi-load \\
      --bucket s3://my-loads --subnets subnet-0a1
  hikkoshi load report run.load --type json
  hikkoshi load plot before.load after.load -o plot.html
"""
Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)
MEANS = (
    click.option("--targets", "targets_file", default="-", help="Target file; - is stdin."),
    click.option(
        "--format", "form", type=click.Choice(FORMATS), default="auto",
        help="The file's format: vegeta's http or json, HAR, OpenAPI 3, an ALB's access log.",
    ),
    click.option("--methods", help="Only targets of these methods: GET,HEAD."),
    click.option("--feed", type=_FILE, help="CSV whose columns are variables: ${column}."),
    click.option("--base-url", help="Put before paths, and in place of the hosts of har, "
                 "openapi and alb-log: http://host:port."),
    click.option("--connect-to", help="host:port or unix:/path for all connections."),
    click.option("--connections", type=int, default=1000, show_default=True, help="At most."),
    click.option("--queue", type=int, default=100_000, show_default=True,
                 help="Requests that may wait for one; more fail as Overflow."),
    click.option("--timeout", default="30s", show_default=True, help="From when it was due."),
    click.option("--redirects", type=int, default=0, show_default=True,
                 help="Followed at most; with 0 a redirect is the answer."),
    click.option("--processes", type=int, default=1, show_default=True, help="One a core."),
    click.option("--no-keepalive", is_flag=True, help="A new connection for each request."),
    click.option("--chunked", is_flag=True, help="Send bodies in chunks."),
    click.option("--http2", is_flag=True, help="HTTP/2."),
    click.option("--streams", type=int, default=1, show_default=True,
                 help="With --http2: requests at one time on a connection."),
    click.option("--insecure", is_flag=True, help="Do not verify certificates."),
    click.option("--root-certs", type=_FILE, help="PEM of the authorities to trust as well."),
    click.option("--cert", type=_FILE, help="PEM of the client's certificate."),
    click.option("--key", type=_FILE, help="PEM of its key, if --cert has none."),
    click.option("--server-name", help="Asked for by TLS (SNI) instead of the host."),
)  # fmt: skip


def means_options(command: Command) -> Command:
    for option in reversed(MEANS):
        command = option(command)
    return command


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors in words on stderr, with their exit code."""
    try:
        yield
    except HikkoshiError as error:
        print(f"hikkoshi load: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def say_notes(found: Found) -> None:
    for note in found.notes:
        print(f"hikkoshi load: {note}", file=sys.stderr)


def attack_of(
    options: dict[str, Any], pacer: Pacer | None, duration_s: float, found: Found, **more: Any
) -> Attack:
    return Attack(
        targets=found.targets,
        pacer=pacer,
        duration_s=duration_s,
        base_url=options["base_url"],
        connect_to=options["connect_to"],
        connections=options["connections"],
        queue=options["queue"],
        timeout_s=duration_of("--timeout", options["timeout"]),
        is_kept_alive=not options["no_keepalive"],
        is_tls_verified=not options["insecure"],
        tls=Tls(options["cert"], options["key"], options["root_certs"], options["server_name"]),
        redirects=options["redirects"],
        is_chunked=options["chunked"],
        is_http2=options["http2"],
        streams=options["streams"],
        feed=options["feed"],
        processes=options["processes"],
        **more,
    )


def targets_of(options: dict[str, Any]) -> Found:
    name, form = options["targets_file"], options["form"]
    methods = (options["methods"] or "").split(",")
    is_rebased = options["base_url"] is not None
    if name != "-":
        return read_found(Path(name), form, methods=methods, is_rebased=is_rebased)
    if sys.stdin.isatty():
        raise BadInput("no targets", fix="give --targets FILE, or pipe them in")
    text = sys.stdin.read()
    return parse_found(text, form, where="standard input", methods=methods, is_rebased=is_rebased)


def pacer_of(rate: str | None, stages: str | None, duration: str) -> tuple[Pacer | None, float]:
    if stages is not None:
        if rate is not None:
            raise BadInput("both --rate and --stages", fix="give one of them")
        staged = parse_stages(stages)
        if staged.count < 1:
            raise BadInput(f"{stages} is not one request", where="--stages", fix="ask for more")
        return staged, staged.duration_s
    if rate is None:
        raise BadInput("no rate", fix="give --rate 200/s, --rate max, or --stages 0..500/30s,…")
    duration_s = duration_of("--duration", duration)
    if rate == "max":
        return None, duration_s
    try:
        pacer = constant(parse_rate(rate), duration_s)
        if pacer.count < 1:
            raise ValueError(f"{rate} for {duration} is not one request")
    except ValueError as error:
        raise BadInput(str(error), where="--rate", fix="write 200/s, 6000/1m or max") from error
    return pacer, duration_s


def rate_of(option: str, text: str) -> float:
    try:
        rate = parse_rate(text)
    except ValueError as error:
        raise BadInput(str(error), where=option, fix="write 200/s or 6000/1m") from error
    if rate <= 0:
        raise BadInput(f"{text} is no rate", where=option, fix="give more than nought")
    return rate


def duration_of(option: str, text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise BadInput(str(error), where=option, fix="write 30s, 1m30s or 300ms") from error
    if seconds <= 0:
        raise BadInput(f"{text} is no time at all", where=option, fix="give more than nought")
    return seconds
