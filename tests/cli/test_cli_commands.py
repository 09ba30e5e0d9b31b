"""The commands' own manners: help, suggestions, colours, completion, what this machine forbids."""

from __future__ import annotations

import json
import os
import subprocess

import click
import pytest

from hikkoshi.cli.main import COMMANDS, cli

HELPED = [
    *([name] for name in COMMANDS),
    ["load", "attack"],
    ["load", "report"],
    ["load", "export"],
    ["synthetic", "run"],
]


@pytest.mark.parametrize("command", [[], *HELPED], ids=" ".join)
def test_help_has_an_example(hikkoshi, command):
    said = hikkoshi(*command, "-h" if not command else "--help")
    assert (said.code, said.err) == (0, "")
    assert "Example" in said.out
    assert "hikkoshi " in said.out.partition("Example")[2]


def leaves(command, words=()):
    if isinstance(command, click.Group):
        context = click.Context(command)
        yield words, command
        for name in command.list_commands(context):
            yield from leaves(command.get_command(context, name), (*words, name))
    else:
        yield words, command


@pytest.mark.parametrize(("words", "command"), list(leaves(cli)), ids=str)
def test_every_help_has_an_example_and_its_exit_codes(words, command):
    text = command.get_help(click.Context(command, info_name=" ".join(("hikkoshi", *words))))
    assert "hikkoshi " in text.partition("Example")[2]
    assert "Exit code" in text


def test_the_help_of_all_names_every_command_and_the_exit_codes(hikkoshi):
    said = hikkoshi("--help")
    for name in COMMANDS:
        assert f"\n  {name} " in said.out
    assert "Exit codes: 0 ready" in said.out


def test_without_a_command_the_help_is_shown(hikkoshi):
    said = hikkoshi()
    assert "The move:" in said.all
    assert said.code in (0, 2)


@pytest.mark.parametrize(
    ("wrong", "meant"), [("reherse", "rehearse"), ("stauts", "status"), ("explian", "explain")]
)
def test_an_unknown_command_suggests_a_known_one(hikkoshi, wrong, meant):
    said = hikkoshi(wrong)
    assert (said.code, said.out) == (2, "")
    assert f"There is no command '{wrong}'. Did you mean '{meant}'?" in said.err


def test_an_unknown_command_that_resembles_none(hikkoshi):
    said = hikkoshi("xyzzy")
    assert said.code == 2
    assert "There is no command 'xyzzy'.\n" in said.err


def test_the_version(hikkoshi):
    said = hikkoshi("--version")
    assert said.code == 0
    assert said.out.startswith("hikkoshi, version ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(hikkoshi, shell):
    said = hikkoshi("completion", shell)
    assert said.code == 0
    assert "_HIKKOSHI_COMPLETE" in said.out


def test_completion_completes(hikkoshi):
    said = hikkoshi(_HIKKOSHI_COMPLETE="bash_complete", COMP_WORDS="hikkoshi re", COMP_CWORD="1")
    assert {line.partition(",")[2] for line in said.out.split()} == {
        "rehearse",
        "report",
        "revisions",
    }


def test_nothing_runs_and_that_is_no_error(hikkoshi):
    assert json.loads(hikkoshi("status", "--json").out) == []
    said = hikkoshi("status")
    assert (said.code, said.out) == (0, "")
    assert "No region is running" in said.err
    for _ in range(2):
        assert hikkoshi("down").code == 0


def test_down_of_a_project_that_was_never_up_leaves_no_trace(hikkoshi, genba):
    assert hikkoshi("down", genba / "after").code == 0
    assert not (genba / "after" / ".hikkoshi").exists()


@pytest.mark.parametrize("arguments", [["rehearse", "after", "--quick"], ["up", "-d"]])
def test_without_a_docker_that_answers_its_engine_is_refused(hikkoshi, genba, arguments):
    at = [str(genba / "after") if a == "after" else a for a in arguments]
    nowhere = f"unix://{hikkoshi.home}/no-docker.sock"
    said = hikkoshi(*at, "--engine", "docker", DOCKER_HOST=nowhere)
    assert (said.code, said.out) == (3, "")
    assert "Docker does not answer on a socket of this machine" in said.err
    assert "fix: " in said.err
    assert not (genba / "after" / ".hikkoshi").exists()


# A user namespace in which no further one may be made, and no right to make others.
FORBIDDEN = (
    "unshare", "--user", "--map-root-user", "sh", "-c",
    'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set -sys_admin "$@"',
    "-",
)  # fmt: skip


@pytest.mark.parametrize("arguments", [["rehearse", "after", "--quick"], ["up", "-d", "--port=0"]])
def test_a_machine_without_namespaces_is_told_which_setting_forbids_them(
    hikkoshi, genba, arguments
):
    if subprocess.run(["unshare", "--user", "true"], check=False).returncode:
        pytest.skip("this machine forbids user namespaces to this test, too")
    at = [str(genba / "after") if a == "after" else a for a in arguments]
    said = hikkoshi(*at, before=FORBIDDEN)
    assert said.code == 3, said.all
    assert "user.max_user_namespaces = 0" in said.err
    assert "sysctl -w user.max_user_namespaces" in said.err
    assert "--engine docker" in said.err
    assert "Traceback" not in said.err
    assert hikkoshi.regions() == []
    assert not (genba / "after" / ".hikkoshi" / "region").exists()


def test_a_directory_that_cannot_be_written(hikkoshi, genba):
    """A file where the directory should be: it stops root, too."""
    (genba / "after" / ".hikkoshi").write_text("")
    said = hikkoshi("rehearse", genba / "after", "--quick")
    assert (said.code, said.out) == (3, "")
    assert "cannot write to" in said.err
    assert "fix: " in said.err
    assert hikkoshi.regions() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_of_somebody_else(hikkoshi, genba):
    (genba / "after").chmod(0o555)
    said = hikkoshi("rehearse", genba / "after", "--quick")
    (genba / "after").chmod(0o755)
    assert said.code == 3
    assert "Permission denied" in said.err


def test_no_colours_in_a_pipe(hikkoshi, genba):
    (genba / "after" / "hikkoshi.yaml").write_text("cluster: [\n")
    said = [
        hikkoshi("explain", "deadlocks-under-load"),
        hikkoshi("check", genba / "after"),
        hikkoshi("xyzzy"),
        hikkoshi("--help"),
    ]
    assert all("\x1b" not in each.all for each in said)


def test_a_reader_that_goes_away_gets_no_traceback(hikkoshi):
    done = subprocess.run(
        f"{hikkoshi.line[0]} explain deadlocks-under-load | head -n1 >/dev/null",
        shell=True, env=hikkoshi.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
