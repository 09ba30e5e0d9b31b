"""Where images come from when there is no registry."""

from __future__ import annotations

import io
import json
import os
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from hikkoshi.image.names import normalise, repository
from hikkoshi.image.oci import UnsafePath, safe_place, unpack
from hikkoshi.image.packages import parse_requirement
from hikkoshi.image.stand_ins import STAND_INS, match
from hikkoshi.model.images import ImageNotHere


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("amazon/aws-xray-daemon:3", "docker.io/amazon/aws-xray-daemon:3"),
        ("localhost/host", "localhost/host:latest"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("a@sha256:00", "docker.io/library/a@sha256:00"),
        (
            "1234.dkr.ecr.ap-northeast-1.amazonaws.com/genba:v1",
            "1234.dkr.ecr.ap-northeast-1.amazonaws.com/genba:v1",
        ),
    ],
)
def test_names(name, full):
    assert normalise(name) == full
    assert normalise(full) == full


def test_repository_drops_tag_and_digest():
    assert repository("localhost:5000/a:1@sha256:00") == "localhost:5000/a"


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("public.ecr.aws/aws-observability/aws-for-fluent-bit:stable", "hikkoshi.router"),
        ("fluent/fluent-bit", "hikkoshi.router"),
        ("public.ecr.aws/xray/aws-xray-daemon:latest", "hikkoshi.region.xray.sidecar"),
        ("public.ecr.aws/datadog/agent:7", "the Datadog agent"),
        ("jenkins/agent", None),
        ("nginx", None),
    ],
)
def test_stand_ins(name, program):
    found = match(name, STAND_INS)
    assert (found and found.program.split(",")[0]) == program


def test_requirements():
    one = parse_requirement(
        'psycopg-binary==3.2 ; implementation_name != "x" and extra == "binary"'
    )
    assert (one.name, one.is_for(""), one.is_for("binary")) == ("psycopg-binary", False, True)
    two = parse_requirement("Flask[Async] >= 3")
    assert (two.name, two.extras, two.is_for(""), two.is_conditional) == (
        "Flask",
        frozenset({"async"}),
        True,
        False,
    )


def test_an_image_of_the_project(perform, tmp_path):
    project = tmp_path / "project"
    (project / "app").mkdir(parents=True)
    (project / "app" / "main.py").write_text("import click, sys; print(click.__file__, sys.argv)")
    (project / "settings.ini").write_text("[it]\n")
    images = [
        {
            "name": "genba",
            "from_image": "localhost/python",
            "packages": ["click"],
            "copy": {"app": "/app", "settings.ini": "/etc/genba/settings.ini"},
            "environment": {"MODE": "test"},
            "working_directory": "/app",
            "entry_point": ["python3", "main.py"],
            "user": "1000",
        },
        {"name": "genba-bad", "from_image": "genba", "command": ["--bad"]},
    ]
    script = "cat /etc/genba/settings.ini; ls /etc/passwd; echo w > /app/w && python3 main.py x"
    seen = perform("run_one", "genba", ["sh", "-c", script], project=str(project), images=images)
    assert seen["err"] == ""
    assert seen["out"].splitlines() == [
        "[it]",
        "/etc/passwd",
        f"/python/lib/{_python()}/site-packages/click/__init__.py ['main.py', 'x']",
    ]
    assert sorted(os.listdir(project / "app")) == ["main.py"]
    bad = perform("pull", "genba-bad", project=str(project), images=images)
    assert (bad["entry_point"], bad["command"]) == (["python3", "main.py"], ["--bad"])
    assert bad["environment"]["MODE"] == "test"
    assert bad["user"] == "1000"


def _python():
    import sys

    return f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ({"packages": ["no-such-thing"], "from_image": "localhost/python"}, "no-such-thing"),
        ({"packages": ["click"]}, "write from: localhost/python"),
        ({"copy": {"absent": "/x"}}, "absent does not exist"),
        ({"copy": {"../../etc": "/x"}}, "lies outside the project"),
        ({"from_image": "broken"}, "in a circle"),
        ({"from_image": "nosuch:1"}, "failed to resolve ref docker.io/library/nosuch:1"),
    ],
)
def test_an_image_that_cannot_be_made_says_why(perform, tmp_path, image, words):
    images = [{"name": "broken", **image}]
    assert words in perform("pull", "broken", project=str(tmp_path), images=images)["refused"]


def test_a_stand_in_runs_hikkoshi_itself(perform):
    name = "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable"
    seen = perform("run_one", name, ["python3", "-c", "import hikkoshi, msgpack; print('here')"])
    assert seen["out"] == "here\n", seen
    pulled = perform("pull", name)
    assert pulled["stand_in"]
    assert "no stand-in" in perform("pull", "datadog/agent:7")["refused"]


def layer_of(entries):
    """entries: (name, content) with content bytes, a link's target as str, or None (directory)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def write_layout(directory, layers, config):
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data):
        digest = sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    document = {"config": config, "rootfs": {"type": "layers"}}
    manifest = {
        "config": put(json.dumps(document).encode()),
        "layers": [put(layer_of(layer)) for layer in layers],
    }
    index = {"manifests": [put(json.dumps(manifest).encode())]}
    (directory / "index.json").write_text(json.dumps(index))
    return directory


CONFIG = {
    "Entrypoint": ["/bin/app"],
    "Cmd": ["a"],
    "Env": ["X=1=2"],
    "User": "app",
    "WorkingDir": "/srv",
    "StopSignal": "SIGQUIT",
}


def test_a_layout_is_unpacked_with_whiteouts(tmp_path):
    layers = [
        [("bin", None), ("bin/app", b"old"), ("gone", b""), ("d/a", b""), ("d/b", b"")],
        [("bin/app", b"new"), (".wh.gone", b""), ("d/.wh..wh..opq", b""), ("d/c", b"")],
    ]
    image = unpack(write_layout(tmp_path / "layout", layers, CONFIG), "x", tmp_path / "store")
    (root,) = image.root.layers
    assert (root / "bin/app").read_bytes() == b"new"
    assert sorted(str(p.relative_to(root)) for p in root.rglob("*")) == [
        "bin",
        "bin/app",
        "d",
        "d/c",
    ]
    assert (image.entry_point, image.command, image.stop_signal) == (
        ("/bin/app",),
        ("a",),
        "SIGQUIT",
    )
    assert (image.environment, image.user, image.working_directory) == ({"X": "1=2"}, "app", "/srv")


@pytest.mark.parametrize(
    "entries",
    [
        [("../evil", b"x")],
        [("a/../../evil", b"x")],
        [("link", "../.."), ("link/evil", b"x")],
        [("link", "/"), ("link/../evil", b"x")],
    ],
)
def test_no_entry_is_written_outside_the_root(tmp_path, entries):
    layout = write_layout(tmp_path / "layout", [entries], {})
    try:
        unpack(layout, "x", tmp_path / "store")
    except ImageNotHere as error:
        assert "leads out of the image" in str(error)
    assert not (tmp_path / "evil").exists()
    evil = [p for p in tmp_path.rglob("evil") if "root" not in p.parts]
    assert evil == []


def test_links_are_followed_inside_the_root_only(tmp_path):
    (tmp_path / "abs").symlink_to("/etc")
    (tmp_path / "round").symlink_to("round")
    assert safe_place(tmp_path, "abs/passwd") == tmp_path / "etc" / "passwd"
    with pytest.raises(UnsafePath):
        safe_place(tmp_path, "round/x")


def test_an_archive_runs(perform, tmp_path):
    """A whole root made of what is on this machine: a static-free shell with its libraries."""
    import subprocess

    listed = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    libraries = [word for word in listed.split() if word.startswith("/")]
    files = [(path[1:], Path(path).read_bytes()) for path in ["/bin/sh", *libraries]]
    files += [("etc/passwd", b"app:x:77:78::/srv:/bin/sh\n"), ("etc/resolv.conf", "../run/none")]
    layout = write_layout(tmp_path / "layout", [files], CONFIG)
    archive = tmp_path / "image.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(layout, arcname=".")
    script = "echo $HOME $X; while read line; do echo $line; done < /etc/resolv.conf; echo y > /new"
    seen = perform("run_one", "my/app:1", ["sh", "-c", script], archives={"my/app:1": str(archive)})
    assert seen["out"].splitlines()[:2] == ["/srv 1=2", "nameserver 10.0.0.2"], seen
    assert seen["code"] == 0


def test_what_is_no_archive(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"nothing")
    with pytest.raises(ImageNotHere, match="not an image archive"):
        unpack(tmp_path / "x.tar", "x", tmp_path / "store")
