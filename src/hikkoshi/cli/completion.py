"""`hikkoshi completion`: the shell's own completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    \b
    Example:
      hikkoshi completion bash > ~/.local/share/bash-completion/completions/hikkoshi

    Exit codes: 0 printed, 2 wrong use.
    """
    from hikkoshi.cli.main import cli

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, "hikkoshi", "_HIKKOSHI_COMPLETE").source())
