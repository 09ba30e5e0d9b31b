"""Python distributions as pip lays them, and as a distribution's package does: without a list."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from hikkoshi.image.packages import close_over, copy_distribution
from hikkoshi.model.images import ImageNotHere


def laid(site: Path, *, top_level: str) -> metadata.Distribution:
    """As Debian's python3-pymysql 1.0.2 lays it."""
    files = {
        "pymysql/__init__.py": "VERSION = 1\n",
        "pymysql/constants/CR.py": "CR = 2\n",
        "other/__init__.py": "",
        "PyMySQL-1.0.2.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: PyMySQL\nVersion: 1.0.2\n",
        "PyMySQL-1.0.2.egg-info/top_level.txt": top_level,
        "PyMySQL-1.0.2.egg-info/requires.txt": "\n[rsa]\ncryptography\n",
    }
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    (found,) = close_over(["pymysql"], [site])
    return found


def test_one_of_debians_comes_with_what_it_names(tmp_path: Path) -> None:
    found = laid(tmp_path / "site", top_level="pymysql\n")
    copy_distribution(found, tmp_path / "made", tmp_path / "bin", is_compiled=False)
    made = {str(p.relative_to(tmp_path / "made")) for p in (tmp_path / "made").rglob("*")}
    assert {"pymysql/__init__.py", "pymysql/constants/CR.py"} < made
    assert "PyMySQL-1.0.2.egg-info/PKG-INFO" in made
    assert not any(name.startswith("other") for name in made)
    (again,) = metadata.distributions(path=[str(tmp_path / "made")])
    assert again.version == "1.0.2"


def test_one_that_names_nothing_is_refused(tmp_path: Path) -> None:
    found = laid(tmp_path / "site", top_level="\n")
    with pytest.raises(ImageNotHere, match="no list of its files; install it beside"):
        copy_distribution(found, tmp_path / "made", tmp_path / "bin", is_compiled=False)
    assert not (tmp_path / "made").exists()
