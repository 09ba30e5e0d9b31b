"""How a root on the machine's own is laid, decided without a container."""

from __future__ import annotations

from pathlib import Path

from hikkoshi.model.images import RootFs
from hikkoshi.region.engine.layout import Bind, HostTree, Scratch, lay_out


def test_a_file_right_beneath_the_root_is_there(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for layer, text in ((lower, "old"), (upper, "new")):
        (layer / "app").mkdir(parents=True)
        (layer / "extra.conf").write_text(text)
    (upper / "etc").write_text("the machine has a directory of that name")
    root = RootFs(True, (lower, upper))
    host = HostTree(("etc", "usr"), {"/bin": "usr/bin"})
    layout = lay_out(root, host, Scratch(None), (), "/", is_read_only=False)
    assert Bind(upper / "extra.conf", "/extra.conf", True) in layout.steps
    assert layout.view.resolve("/extra.conf").real == upper / "extra.conf"
    assert [step for step in layout.steps if isinstance(step, Bind) and step.target == "/etc"] == [
        Bind(Path("/etc"), "/etc", True)
    ]
