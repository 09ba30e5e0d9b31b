"""The kernel's files are read whole, and what is gone says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from hikkoshi.base.kernel_files import read_kernel_file


def test_a_file_is_read_as_its_text():
    assert read_kernel_file("/proc/self/comm") == Path("/proc/self/comm").read_text()


def test_a_file_longer_than_the_kernels_pieces_is_read_to_its_end(tmp_path):
    (tmp_path / "long").write_bytes(b"line \xff\n" * 40_000)
    assert read_kernel_file(tmp_path / "long") == "line \N{REPLACEMENT CHARACTER}\n" * 40_000


def test_what_is_gone_is_an_os_error():
    with pytest.raises(FileNotFoundError):
        read_kernel_file("/proc/self/no-such-file")
