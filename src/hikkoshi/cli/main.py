"""`hikkoshi`: the commands, and how errors become words and exit codes."""

from __future__ import annotations

import errno
import importlib
import io
import signal
import sys
import traceback
from types import FrameType
from typing import Any, NoReturn

import click

import hikkoshi
from hikkoshi.base.errors import CannotRun, HikkoshiError
from hikkoshi.base.signals import again_soon, is_importing
from hikkoshi.base.text import printable

# Section → name → module, object and one line. A command's module is imported only when it is asked
# for, so that `hikkoshi --help` and completion are quick.
SECTIONS: dict[str, dict[str, tuple[str, str, str]]] = {
    "The move": {
        "survey": ("hikkoshi.cli.survey", "survey", "Write down what runs today: host, account."),
        "plan": ("hikkoshi.cli.plan", "plan", "Turn a survey into the files of the new home."),
        "rehearse": ("hikkoshi.cli.rehearse", "rehearse", "Rehearse a move and give a verdict."),
        "cutover": ("hikkoshi.cli.cutover", "cutover", "Move the traffic, a step at a time."),
    },
    "Files and images": {
        "check": ("hikkoshi.cli.check", "check", "Check a project's files; start nothing."),
        "image": ("hikkoshi.cli.image", "image", "Make and look at images without Docker."),
        "lint": ("hikkoshi.cli.lint", "lint", "Complain about files by line, rule and cure."),
        "iac": ("hikkoshi.cli.iac", "iac", "Write a project's CDK app, or check one."),
    },
    "The local region": {
        "up": ("hikkoshi.cli.region", "up", "Start a local region: AWS's API on this machine."),
        "down": ("hikkoshi.cli.region", "down", "End a local region and remove all it made."),
        "status": ("hikkoshi.cli.shipped", "status", "Show the local regions, or DIR's service."),
    },
    "A service, in AWS or in the region": {
        "verify": ("hikkoshi.cli.verify", "verify", "Verify all that the files name."),
        "diff": ("hikkoshi.cli.deploy", "diff", "Show what a deploy would change."),
        "deploy": ("hikkoshi.cli.deploy", "deploy", "Bring a service to what its files say."),
        "wait": ("hikkoshi.cli.deploy", "wait", "Wait for a deployment's end, and judge it."),
        "rollback": ("hikkoshi.cli.deploy", "rollback", "Go back to the last good deployment."),
        "logs": ("hikkoshi.cli.logs", "logs", "Show a service's log lines."),
        "run": ("hikkoshi.cli.tasks", "run", "Run one task and exit with its code."),
        "exec": ("hikkoshi.cli.execute", "execute", "Run a command in a running container."),
        "tasks": ("hikkoshi.cli.tasks", "tasks", "List a service's tasks; stop one."),
        "scale": ("hikkoshi.cli.tasks", "scale", "Set how many tasks a service has."),
        "revisions": ("hikkoshi.cli.shipped", "revisions", "List revisions and their deployments."),
        "init": ("hikkoshi.cli.shipped", "init", "Write a project's files from a live service."),
        "delete": ("hikkoshi.cli.shipped", "delete", "Delete a service; asks first."),
    },
    "Trials by themselves": {
        "load": ("hikkoshi.cli.load", "load", "Send load, open model, and report it."),
        "synthetic": ("hikkoshi.cli.synthetic", "synthetic", "Run synthetic tests."),
        "fault": ("hikkoshi.cli.fault", "fault", "Break one thing; prove, time and undo it."),
    },
    "What came of it": {
        "report": ("hikkoshi.cli.report", "report", "Show the report of a run."),
        "tune": ("hikkoshi.cli.tune", "tune", "Say which sizes and timings meet the limits."),
        "compare": ("hikkoshi.cli.compare", "compare", "Compare two runs: what is better, worse."),
        "watch": ("hikkoshi.cli.watch", "watch", "Watch a region or rehearsal in the browser."),
        "query": ("hikkoshi.cli.query", "query", "Ask the evidence of a run with SQL."),
        "evidence": ("hikkoshi.cli.evidence", "evidence", "Export evidence: Parquet, CSV."),
        "explain": ("hikkoshi.cli.explain", "explain", "Explain a rule: what it sees, the cure."),
    },
    "This tool": {
        "completion": ("hikkoshi.cli.completion", "completion", "Print shell completion."),
    },
}
_CURES = {
    errno.ENOSPC: "the disk is full: make room, or name a directory on another one",
    errno.EDQUOT: "your quota is used up: make room, or name a directory elsewhere",
    errno.EACCES: "give this user the right to it, or name another place",
    errno.EPERM: "give this user the right to it, or name another place",
    errno.EROFS: "this file system is read-only: name a place that can be written",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
}
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class _Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(arguments[0], COMMANDS, 1, 0.5)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            context.fail(f"There is no command {arguments[0]!r}.{hint}")
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            if commands:
                with formatter.section(title):
                    formatter.write_dl([(name, words) for name, (_, _, words) in commands.items()])


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ready or done, 1 not ready or failed, 2 wrong use or bad input, "
    "3 could not run.",
)
@click.version_option(hikkoshi.__version__, prog_name="hikkoshi")
def cli() -> None:
    """hikkoshi (引越し, moving house): move a service from EC2 + ELB to ECS Fargate.

    Rehearse the move on this machine, with real parts behind AWS's own APIs, and learn by name
    what would have gone wrong.

    \b
    Examples:
      hikkoshi rehearse examples/genba/after
      hikkoshi up -d && export AWS_ENDPOINT_URL=http://127.0.0.1:4566
      hikkoshi explain deadlocks-under-load
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run, and exit: HikkoshiError to its own code, Ctrl-C and SIGTERM to 130 and 143."""
    for stream in (sys.stdout, sys.stderr):
        # In a locale that lacks a character it is shown by its number; nothing is lost to it.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    received: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if is_importing(frame):
            again_soon(number)
            return
        received.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    signal.signal(signal.SIGTERM, on_signal)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, on_signal)
    try:
        code = cli.main(args=arguments, prog_name="hikkoshi", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _end_interrupted(signal.SIGINT)
    except SystemExit:
        if received:
            _end_interrupted(received[0])
        raise
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:
        # A library may make an error of its own of the interruption, as DuckDB does.
        if received:
            _end_interrupted(received[0])
        if isinstance(error, HikkoshiError):
            _show_error(str(error))
            sys.exit(error.exit_code)
        _end_unforeseen(error)


def _end_unforeseen(error: Exception) -> NoReturn:
    """Never with 1: that would say that something was tried, and is not ready."""
    if isinstance(error, OSError) and error.errno is not None:
        words = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        fix = _CURES.get(error.errno)
        _show_error(words + (f"\n  fix: {fix}" if fix else ""))
    else:
        traceback.print_exception(error)
        _show_error(
            f"this is a defect of hikkoshi {hikkoshi.__version__}, not of your files\n"
            "  fix: report it with the lines above"
        )
    sys.exit(CannotRun.exit_code)


def _show_error(words: str) -> None:
    click.echo(f"{click.style('error:', fg='red', bold=True)} {printable(words)}", err=True)


def _end_interrupted(number: int) -> NoReturn:
    click.echo("interrupted", err=True)
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
