"""How the application's image is made: a Dockerfile, and the same for the embedded engine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from hikkoshi.model.survey import Host
from hikkoshi.plan import packaged
from hikkoshi.plan.application import Chosen
from hikkoshi.plan.choice import Notebook
from hikkoshi.plan.docker_run import DockerRun
from hikkoshi.plan.environment import MARK
from hikkoshi.plan.fitting import fit, own_configurations
from hikkoshi.plan.front import Front
from hikkoshi.plan.front_server import Shared
from hikkoshi.plan.logs import own_log
from hikkoshi.plan.sockets import Rebound, rebind

ROOT = "rootfs"
"""Where the host's files lie in the new directory, at their own paths."""

# Modules whose distribution has another name. Source: PyPI's own pages of these projects.
_DISTRIBUTIONS: Mapping[str, str] = {
    "yaml": "PyYAML", "PIL": "Pillow", "MySQLdb": "mysqlclient", "cv2": "opencv-python",
    "bs4": "beautifulsoup4", "psycopg2": "psycopg2-binary", "dateutil": "python-dateutil",
    "jwt": "PyJWT", "dotenv": "python-dotenv", "sklearn": "scikit-learn", "redis": "redis",
    "google": "google-api-python-client", "attr": "attrs", "Crypto": "pycryptodome",
}  # fmt: skip
_PYTHONS = {("debian", "10"): "3.7", ("debian", "11"): "3.9", ("debian", "12"): "3.11",
            ("debian", "13"): "3.13", ("ubuntu", "18.04"): "3.6", ("ubuntu", "20.04"): "3.8",
            ("ubuntu", "22.04"): "3.10", ("ubuntu", "24.04"): "3.12", ("amzn", "2"): "3.7",
            ("amzn", "2023"): "3.9", ("rhel", "8"): "3.6", ("rhel", "9"): "3.9"}  # fmt: skip
_SAFE = re.compile(r"^[\w./+@:-]+$")
_USER_ID = 10001
_INTERPRETER = re.compile(r"^(?:python[\d.]*|pypy3?|ruby[\d.]*|node|nodejs|php[\d.]*|java|bundle|"
                          r"npm|npx|yarn|pnpm)$")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Image:
    """embedded: `images.NAME.embedded` of hikkoshi.yaml. copies: path in the new directory → path
    on the host. reasons_not: why the embedded engine cannot run it as it is. made: path in the new
    directory → text that the plan writes. environment: beside the unit's. told: what is otherwise
    than on the host."""

    dockerfile: str
    embedded: dict[str, Any]
    copies: Mapping[str, str]
    command: tuple[str, ...]
    base: str
    reasons_not: tuple[str, ...] = ()
    made: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()


def plan_image(chosen: Chosen, host: Host, notebook: Notebook, front: Front | None) -> Image:
    if chosen.container is not None:
        return _of_container(chosen, chosen.container, notebook)
    kind = runtime(chosen)
    base = notebook.note("base_image", _base(kind, chosen, host), _why(kind, chosen))
    own = own_configurations(host, chosen.unit, chosen.command)
    fitted = fit(chosen.command, chosen.unit.environment, own, chosen.port)
    rebound = Rebound(fitted.command)
    shared = front.shared if front else None
    if chosen.bound is not None:
        rebound = rebind(fitted.command, chosen.unit.environment, chosen.bound, chosen.port, shared)
        fitted.environment |= rebound.environment
        fitted.told += rebound.told
    fitted.command = _command(kind, rebound.command, chosen.files.root)
    undone = list(rebound.undone)
    if any(MARK.search(word) for word in fitted.command):
        undone.append("its command line has a secret in it, which the survey left out: the command "
                      "does not work as it is written. Let the program take it from a variable, "
                      "which a secret of the task definition fills")  # fmt: skip
    package = packaged.system_package(chosen)
    is_from_tree = bool(package and host.system.tree and kind not in ("python", "static"))
    kept = chosen.files.kept
    if package and kind not in ("python", "static"):
        # What the package brings, its manager installs; content that its configuration names is
        # the host's own.
        content = tuple(f"{directory}/" for directory in chosen.files.named)
        kept = tuple(path for path in kept if path.startswith(("/etc/", *content)))
    copies = {f"{ROOT}{path}": path for path in kept}
    extensions = _php_extensions(chosen, host)
    if front is not None and chosen.speaks == "fastcgi":
        # The web server names the scripts; they run here.
        copies |= {f"{ROOT}{path}": path for path in front.copies.values()}
    made = {f"{ROOT}{path}": text for path, text in fitted.files.items()}
    pools = {f"{ROOT}{c.path}": c.text for c in own if c.kind == "php-fpm"}
    made |= {path: text for path, text in pools.items() if path not in made}
    undone += [f"{path.removeprefix(ROOT)} has a secret in it, which the survey left out: let it "
               "be a variable of the task, which its scripts see"
               for path, text in pools.items() if MARK.search(text)]  # fmt: skip
    copies = {path: place for path, place in copies.items() if path not in made}
    told = tuple(fitted.told)
    if is_from_tree:
        embedded = packaged.embedded(chosen, host, fitted, own, ROOT)
        embedded["system_packages"] += extensions
        if front is not None and chosen.speaks == "fastcgi":
            served = {f"{ROOT}{place}": place for place in front.places}
            embedded["copy"] = {**embedded.get("copy", {}), **served}
        told += tuple(packaged.told(chosen, host))
    else:
        embedded = _embedded(kind, chosen, copies, fitted.command)
        embedded = _with_made(embedded, made)
    text = _dockerfile(kind, chosen, base, {**copies, **made}, fitted.command,
                       packaged.writable(chosen.unit, chosen.command, own) if package else [],
                       packaged.user_of(chosen, host) if package else "app", shared,
                       extensions)  # fmt: skip
    return Image(
        text, embedded, copies, tuple(fitted.command), base,
        () if is_from_tree else _reasons_not(kind, chosen, copies), made, fitted.environment, told,
        tuple(undone),
    )  # fmt: skip


def _of_container(chosen: Chosen, run: DockerRun, notebook: Notebook) -> Image:
    """The unit starts a container: its image is taken as it is."""
    is_read = bool(re.match(r"^[\w./:@-]+$", run.image))
    base = notebook.note("base_image", run.image if is_read else "scratch",
                         f"{chosen.unit.name} runs it by docker")  # fmt: skip
    lines = ["# Written by hikkoshi plan: the image that the host runs, as it is.", f"FROM {base}"]
    lines += [f"CMD {json.dumps(list(chosen.command))}"] if chosen.command else []
    undone = [f"it mounts `{volume}` of the host: a task has no such disk; EFS, S3, or a step of "
              "the image's build" for volume in run.volumes]  # fmt: skip
    if not is_read:
        undone.append("the options of its `docker run` could not be read to the end: say which "
                      "image it runs, by the answer `base_image`")  # fmt: skip
    reason = (f"its image {base} is in a registry or in the host's Docker: rehearse with --engine "
              "docker, or describe it by an archive of `hikkoshi image pull`")  # fmt: skip
    told = (f"it is a container on the host already ({base}): the Dockerfile takes that image; "
            "its other options than -e, -p and -v are not carried over",)  # fmt: skip
    return Image("\n".join(lines) + "\n", {}, {}, chosen.command, base, (reason,), told=told,
                 undone=tuple(undone))  # fmt: skip


def _php_extensions(chosen: Chosen, host: Host) -> list[str]:
    """Packages of the same PHP that are installed beside it: php8.2-mysql, php-mysqlnd."""
    if chosen.speaks != "fastcgi":
        return []
    stem = re.match(r"^(php[\d.]*)-fpm", chosen.unit.package or "")
    names = [p.name for p in host.packages if stem and p.name.startswith(f"{stem[1]}-")]
    return [n for n in names if n != chosen.unit.package and re.match(r"^[\w.+-]+$", n)]


def _with_made(embedded: dict[str, Any], made: Mapping[str, str]) -> dict[str, Any]:
    """The files that the plan writes itself, beside those of the host."""
    targets = {**embedded.get("copy", {}), **{name: name.removeprefix(ROOT) for name in made}}
    return {**embedded, "copy": targets} if targets else embedded


def runtime(chosen: Chosen) -> str:
    """static, dynamic, package, python, node, ruby, java, php or other."""
    program = chosen.program
    if chosen.speaks == "fastcgi" and program is not None and program.package:
        return "package"  # PHP-FPM; php itself is an interpreter.
    first = PurePosixPath(chosen.command[0]).name if chosen.command else ""
    interpreter = PurePosixPath(program.interpreter).name if program and program.interpreter else ""
    for name in (first, interpreter):
        for prefix, kind in (("python", "python"), ("pypy", "python"), ("node", "node"),
                             ("ruby", "ruby"), ("java", "java"), ("php", "php"),
                             ("bundle", "ruby"), ("npm", "node"), ("npx", "node"),
                             ("yarn", "node"), ("pnpm", "node")):  # fmt: skip
            if name.startswith(prefix):
                return kind
    if program is None:
        return "other"
    if program.kind in ("zipapp",) or program.path.endswith(".py"):
        return "python"
    if program.package:
        return "package"
    return {"elf-static": "static", "elf-dynamic": "dynamic"}.get(program.kind, "other")


def _python_version(chosen: Chosen, host: Host) -> str:
    named = re.search(r"python(3\.\d+)", " ".join(chosen.command))
    if named:
        return named[1]
    for library in chosen.files.libraries:
        place = re.search(r"/python(3\.\d+)/", library.place)
        if place:
            return place[1]
    system = host.system
    major = system.version if system.id == "ubuntu" else system.version.partition(".")[0]
    return _PYTHONS.get((system.id, major), "3.11")


def _node_version(chosen: Chosen) -> str:
    """Of nvm's path, or as pm2 wrote it down; else the one that this was written for."""
    unit = chosen.unit
    for text in (*chosen.command, *unit.environment.values(), unit.description):
        found = re.search(r"/node/v(\d+)\.|\bpm2, node (\d+)\.", text)
        if found:
            return found[1] or found[2]
    return "20"


def _base(kind: str, chosen: Chosen, host: Host) -> str:
    if kind == "python":
        return f"python:{_python_version(chosen, host)}-slim"
    names = {"static": "alpine:3.20", "node": f"node:{_node_version(chosen)}-slim",
             "ruby": "ruby:3.3-slim",
             "java": "eclipse-temurin:17-jre", "php": "php:8.3-cli"}  # fmt: skip
    if kind in names:
        return names[kind]
    system = host.system
    if system.id in ("debian", "ubuntu") and re.match(r"^[\d.]+$", system.version):
        return f"{system.id}:{system.version}" + ("-slim" if system.id == "debian" else "")
    return "amazonlinux:2023" if system.id == "amzn" else "debian:12-slim"


def _why(kind: str, chosen: Chosen) -> str:
    program = chosen.program
    shown = program.path if program else " ".join(chosen.command)
    return {
        "static": f"{shown} is a static binary: Alpine gives it certificates and a shell, 8 MB",
        "dynamic": f"{shown} needs the C library it was built with: the host's own release",
        "package": f"{shown} is of the package {program.package if program else ''}: the "
        "host's own release has it",
        "python": f"{shown} is run by Python, of the host's version",
    }.get(kind, f"{shown} is run by {kind}")


def distributions(chosen: Chosen) -> tuple[str, ...]:
    """`NAME==VERSION` where the host says the version; from imports where it says nothing."""
    if chosen.files.root and any("/site-packages/" in path for path in chosen.files.kept):
        return ()  # Its own virtual environment moves with it.
    known = [lib for lib in chosen.files.libraries if _SAFE.match(f"{lib.name}{lib.version}")]
    if known:
        return tuple(f"{lib.name}=={lib.version}" for lib in known)
    return tuple(_DISTRIBUTIONS.get(name, name) for name in chosen.files.imports
                 if _SAFE.match(name))  # fmt: skip


def _dockerfile(
    kind: str,
    chosen: Chosen,
    base: str,
    copies: Mapping[str, str],
    command: list[str],
    directories: list[str],
    user: str | None,
    shared: Shared | None,
    extensions: list[str],
) -> str:
    """user: `app` is made; None is root; another comes with the package. shared: a volume takes the
    owner and mode of the directory that the image declares as one. Source: Bind mounts, ECS's
    developer guide."""
    packages = distributions(chosen) if kind == "python" else ()
    lines = ["# Written by hikkoshi plan from what runs on the host; yours to change."]
    if packages:
        words = " ".join(json.dumps(name) for name in packages)
        install = f"RUN pip install --no-cache-dir --prefix=/install {words}"
        lines += [f"FROM {base} AS build", install, ""]
    lines.append(f"FROM {base}")
    if kind == "package" and chosen.packages and _SAFE.match(chosen.packages[0]):
        names = " ".join([chosen.packages[0], *extensions])
        if base.startswith("amazonlinux"):
            lines.append(f"RUN dnf install -y {names} && dnf clean all")
        else:
            lines += [f"RUN apt-get update && apt-get install -y --no-install-recommends {names}"
                      " \\", "    && rm -rf /var/lib/apt/lists/*"]  # fmt: skip
    if packages:
        lines.append("COPY --from=build /install /usr/local")
    if kind == "static":
        lines += ["RUN apk add --no-cache ca-certificates tzdata \\",
                  f"    && adduser -D -H -u {_USER_ID} app"]  # fmt: skip
    elif user != "app":
        pass
    elif base.startswith("amazonlinux"):
        lines.append(f"RUN echo 'app:x:{_USER_ID}:{_USER_ID}::/nonexistent:/sbin/nologin' "
                     ">> /etc/passwd")  # fmt: skip
    else:
        lines.append(f"RUN useradd --system --no-create-home --uid {_USER_ID} app")
    if copies:
        lines.append(f"COPY {ROOT}/ /")
    lines += _own_pythons(base, copies)
    log = own_log(chosen.unit)
    if log and _SAFE.match(log):
        folder = str(PurePosixPath(log).parent)
        lines.append(f"RUN mkdir -p {folder} && ln -sf /dev/stdout {log}")
    if chosen.unit.working_directory and _SAFE.match(chosen.unit.working_directory):
        lines.append(f"WORKDIR {chosen.unit.working_directory}")
    if directories:
        lines.append(f"RUN mkdir -p {' '.join(directories)} \\")
        lines.append(f"    && chmod 1777 {' '.join(directories)}")
    if shared is not None and _SAFE.match(shared.directory):
        lines.append(f"RUN mkdir -p {shared.directory} && chmod 1777 {shared.directory}")
        lines.append(f"VOLUME {json.dumps([shared.directory])}")
    lines += [f"USER {user}"] if user and _SAFE.match(user) else []
    lines += [*([] if shared else [f"EXPOSE {chosen.port}"]), f"CMD {json.dumps(command)}"]
    return "\n".join(lines) + "\n"


def _own_pythons(base: str, copies: Mapping[str, str]) -> list[str]:
    """A virtual environment's python is a link to the host's, which is elsewhere in the image."""
    homes = [path.removesuffix("/pyvenv.cfg") for path in copies.values()
             if path.endswith("/pyvenv.cfg") and _SAFE.match(path)]  # fmt: skip
    links = [path for path in copies.values() for home in homes
             if re.fullmatch(re.escape(home) + r"/bin/python[\d.]*", path)]  # fmt: skip
    if not links or not base.startswith("python:"):
        return []
    steps = " \\\n    && ".join(f"ln -sf /usr/local/bin/python3 {link}" for link in sorted(links))
    return [f"RUN {steps}"]


def _command(kind: str, command: list[str], root: str) -> list[str]:
    """In the image the interpreter is found on the PATH: it may be elsewhere than on the host (nvm,
    rbenv). One of the application's own directory, a virtual environment's, comes along."""
    words = list(command)
    if kind in ("python", "node", "ruby", "java", "php") and words:
        first = PurePosixPath(words[0])
        is_own = bool(root) and str(first).startswith(f"{root}/")
        is_usual = str(first.parent) in ("/usr/bin", "/bin", "/usr/local/bin")
        if is_usual or (_INTERPRETER.match(first.name) and first.is_absolute() and not is_own):
            words[0] = "python3" if first.name.startswith("python") else first.name
    if words and PurePosixPath(words[0]).name == "nginx":
        # In the background it would end its container at once.
        words = [word.replace("daemon on;", "daemon off;") for word in words]
        if not any("daemon off;" in word for word in words):
            words += ["-g", "daemon off;"]
    return words


def _embedded(
    kind: str, chosen: Chosen, copies: Mapping[str, str], command: list[str]
) -> dict[str, Any]:
    made: dict[str, Any] = {"from": "localhost/python" if kind == "python" else "localhost/host"}
    packages = [name.partition("==")[0] for name in distributions(chosen)]
    if kind == "python" and packages:
        made["packages"] = packages
    root = chosen.files.root
    targets = {}
    if root and any(path.startswith(f"{root}/") for path in copies.values()):
        targets[f"{ROOT}{root}"] = root
    for source, target in copies.items():
        if not (root and target.startswith(f"{root}/")):
            targets[source] = target
    if targets:
        made["copy"] = targets
    if chosen.unit.working_directory:
        made["working_directory"] = chosen.unit.working_directory
    made["command"] = command
    return made


def _reasons_not(kind: str, chosen: Chosen, copies: Mapping[str, str]) -> tuple[str, ...]:
    reasons = []
    if kind in ("node", "ruby", "java", "php", "other"):
        reasons.append(f"the embedded engine runs what this machine has: is {chosen.command[0]} "
                       "installed here?")  # fmt: skip
    if kind == "package":
        reasons.append(f"the embedded engine runs what this machine has: is {chosen.packages[0]} "
                       "installed here, with its libraries?")  # fmt: skip
    own = chosen.program
    if not copies and own is not None and own.package is None and kind != "package":
        reasons.append("the application's files were not copied (survey without --no-files)")
    return tuple(reasons)
