"""A connection that drops half way: what came before is kept and written."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import old_genba
import pytest

from hikkoshi.survey.gathered import Gathered
from hikkoshi.survey.host import survey_host
from hikkoshi.survey.shell import Broken, _unpack, ssh_reach
from hikkoshi.survey.tree import TreeReach


class Dropping(TreeReach):
    """Reads the tree, until this many reads were made."""

    def __init__(self, root: Path, reads: int) -> None:
        super().__init__(root)
        self._left = reads

    def read(self, patterns: Iterable[str], limit: int) -> Gathered:
        self._left -= 1
        if self._left < 0:
            raise Broken("the connection was closed", "again", Gathered())
        return super().read(patterns, limit)


def say(words: str) -> None:
    return None


def test_what_came_before_is_kept(tmp_path: Path) -> None:
    root = old_genba.build(tmp_path / "root")
    found = survey_host(Dropping(root, 1), window_s=0, say=say, keep_files=True)
    assert found.broke is not None
    assert "genba.service" in {unit.name for unit in found.host.units}
    assert any("connection was lost" in unseen.what for unseen in found.unseen)


def test_nothing_came_at_all(tmp_path: Path) -> None:
    root = old_genba.build(tmp_path / "root")
    with pytest.raises(Broken):
        survey_host(Dropping(root, 0), window_s=0, say=say, keep_files=True)


def test_an_archive_that_ends_early_gives_what_came() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("etc/a", "etc/b"):
            info = tarfile.TarInfo(name)
            info.size = 5000
            archive.addfile(info, io.BytesIO(b"x" * 5000))
    whole = buffer.getvalue()
    files, is_cut = _unpack(whole[:8000])
    assert set(files) == {"/etc/a"} and is_cut
    assert _unpack(whole) == ({"/etc/a": b"x" * 5000, "/etc/b": b"x" * 5000}, False)


def test_the_password_in_an_address_is_not_taken_along() -> None:
    with pytest.raises(Exception, match="password") as error:
        ssh_reach("ssh://user:hunter2@host")
    assert "hunter2" not in json.dumps(str(error.value))
