"""`hikkoshi load`: the load generator by itself."""

from __future__ import annotations

import click

from hikkoshi.cli.load.attack import attack
from hikkoshi.cli.load.comparing import baseline, compare_command
from hikkoshi.cli.load.enduring import soak, spike_command
from hikkoshi.cli.load.options import EXAMPLES
from hikkoshi.cli.load.results import encode, export, plot, report
from hikkoshi.cli.load.searching import capacity
from hikkoshi.cli.load.tasks import share


class _AttackByDefault(click.Group):
    """A group whose options, given without a command, are those of `attack`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "-h")):
            args = ["attack", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_AttackByDefault, epilog=EXAMPLES)
def load() -> None:
    """Send requests when they are due, whatever became of those before them.

    Latency counts from the moment a request was due, so that a stalled server cannot hide.
    Without a command this is `attack` (see `hikkoshi load attack --help`).

    Exit codes: 0 passed, 1 failed or invalid, 2 wrong use or bad input, 3 could not run.
    """


for _command in (
    attack,
    capacity,
    soak,
    spike_command,
    report,
    plot,
    compare_command,
    baseline,
    encode,
    export,
    share,
):
    load.add_command(_command)
