"""What nobody foresaw: never exit code 1, which means *not ready*; and nothing from outside that
moves a terminal's cursor."""

from __future__ import annotations

import errno
import io
import os
import sys

import click
import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.base.text import printable
from hikkoshi.cli import main as module


@pytest.fixture
def failing(monkeypatch, capsys):
    def run(error):
        @click.command()
        def fails():
            raise error

        monkeypatch.setattr(module, "cli", fails)
        with pytest.raises(SystemExit) as ended:
            module.main([])
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_an_error_of_the_machine_has_a_place_and_a_cure(failing, number):
    code, said = failing(OSError(number, os.strerror(number), "/srv/full"))
    assert code == 3
    assert said.startswith(f"error: /srv/full: {os.strerror(number)}\n  fix: ")


def test_a_defect_says_that_it_is_one(failing):
    code, said = failing(ZeroDivisionError("by zero"))
    assert code == 3
    assert "ZeroDivisionError: by zero" in said
    assert "error: this is a defect of hikkoshi" in said


def test_an_error_cannot_steer_the_terminal(failing):
    code, said = failing(BadInput("no family \x1b[2J\x1b]0;mine\x07\rerror: none", fix="a\nb"))
    assert code == 2
    assert said == "error: no family \\x1b[2J\\x1b]0;mine\\x07\\rerror: none\n  fix: a\nb\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("引越し", "引越し"),
        ("a\tb\n", "a\tb\n"),
        ("\x9b1m", "\\x9b1m"),
        ("\u202egnp", "\\u202egnp"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


def test_a_locale_that_lacks_a_character_loses_nothing(monkeypatch):
    @click.command()
    def says():
        print("p99 – 引越し")

    kept = io.BytesIO()
    monkeypatch.setattr(module, "cli", says)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(kept, encoding="ascii"))
    with pytest.raises(SystemExit) as ended:
        module.main([])
    sys.stdout.flush()
    assert ended.value.code == 0
    assert kept.getvalue() == b"p99 \\u2013 \\u5f15\\u8d8a\\u3057\n"
