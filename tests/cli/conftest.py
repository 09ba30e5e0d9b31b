from __future__ import annotations

import pytest
from command import Command, copy_genba


@pytest.fixture
def hikkoshi(tmp_path):
    """The command; whatever region it leaves running is ended."""
    command = Command(tmp_path / "home")
    yield command
    if command.regions():
        command("down", "--all")


@pytest.fixture
def genba(tmp_path):
    return copy_genba(tmp_path / "genba")
