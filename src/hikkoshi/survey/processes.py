"""Processes, from /proc as `grep -H` and `find -printf` bring it. Memory in MiB, CPU in cores."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

from hikkoshi.model.survey import Process
from hikkoshi.survey.gathered import Gathered

_PATH = re.compile(rb"^/proc/(\d+)/[\w/]+:", re.MULTILINE)
_UNIT = re.compile(r"/([^/]+\.service)(?:/|$)")
# fdinfo's flags are octal; the last digit is the access mode: 1 is write only, 2 is both.
_WRITING = re.compile(r"^/proc/(\d+)/fdinfo/(\d+):flags:\s+0*\d*([12])$")


def read_processes(gathered: Gathered) -> tuple[Process, ...]:
    stats = _stats(gathered.answers.get("stat", b""))
    later = _stats(gathered.answers.get("stat_after", b""))
    ticks, uptime = _clock(gathered.answer("time"))
    end = _number(gathered.answer("time_after").strip()) or 0.0
    window_s = max(end - uptime, 0.0)
    status = _by_pid(gathered.answers.get("status", b""))
    lines = {pid: text.split("\0") for pid, text in _by_pid_text(gathered, "cmdline").items()}
    groups = _by_pid_text(gathered, "cgroup")
    limits = _by_pid_text(gathered, "limits")
    links = _links(gathered.answer("links"))
    open_files, written = _open_files(gathered)
    found = []
    for pid, (name, parent, cpu, start) in sorted(stats.items()):
        fields = dict(line.partition(":")[::2] for line in status.get(pid, []))
        arguments = tuple(lines.get(pid, [""]))
        while arguments and not arguments[-1]:
            arguments = arguments[:-1]
        if not arguments and parent in (0, 2):
            continue  # The kernel's own threads.
        unit = _UNIT.search(groups.get(pid, ""))
        life_s = uptime - start / ticks
        during = later[pid][2] - cpu if pid in later and window_s else 0
        found.append(
            Process(
                pid,
                parent,
                name,
                arguments,
                int(fields.get("Uid", "0").split()[0]),
                unit.group(1) if unit else None,
                links.get(f"/proc/{pid}/exe"),
                links.get(f"/proc/{pid}/cwd"),
                _mib(fields.get("VmRSS")),
                _mib(fields.get("VmHWM")),
                round(during / ticks / window_s, 4) if window_s else 0.0,
                round(cpu / ticks / life_s, 4) if life_s > 1 else 0.0,
                int(fields.get("Threads", "1")),
                _limit(limits.get(pid)),
                open_files.get(pid),
                tuple(sorted(written[pid])),
            )
        )
    return tuple(found)


def window_of(gathered: Gathered) -> float:
    _, before = _clock(gathered.answer("time"))
    return round(max((_number(gathered.answer("time_after").strip()) or before) - before, 0.0), 1)


def _stats(data: bytes) -> dict[int, tuple[str, int, int, int]]:
    """pid → name, parent, CPU ticks, start in ticks. A name may hold brackets and line ends."""
    found = {}
    for pid, body in _bodies(data).items():
        text = body.decode("utf-8", "replace")
        name = text[text.find("(") + 1 : text.rfind(")")]
        rest = text[text.rfind(")") + 1 :].split()
        if len(rest) > 19:
            found[pid] = (name, int(rest[1]), int(rest[11]) + int(rest[12]), int(rest[19]))
    return found


def _bodies(data: bytes) -> dict[int, bytes]:
    """`path:line` output of `grep -H` → pid → the file's content."""
    found: dict[int, list[bytes]] = defaultdict(list)
    for line in data.split(b"\n"):
        match = _PATH.match(line)
        if match:
            found[int(match.group(1))].append(line[match.end() :])
    return {pid: b"\n".join(lines) for pid, lines in found.items()}


def _by_pid(data: bytes) -> dict[int, list[str]]:
    return {p: body.decode("utf-8", "replace").split("\n") for p, body in _bodies(data).items()}


def _by_pid_text(gathered: Gathered, name: str) -> dict[int, str]:
    bodies = _bodies(gathered.answers.get(name, b""))
    return {pid: body.decode("utf-8", "replace") for pid, body in bodies.items()}


def _clock(text: str) -> tuple[float, float]:
    """Ticks a second, and the uptime when the sample began."""
    lines = text.split()
    if len(lines) < 3:
        return 100.0, 0.0
    return _number(lines[1]) or 100.0, _number(lines[2]) or 0.0


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _mib(text: str | None) -> float:
    words = (text or "0").split()
    return round(int(words[0]) / 1024, 1) if words and words[0].isdigit() else 0.0


def _limit(text: str | None) -> tuple[int, int] | None:
    numbers = re.findall(r"\d+|unlimited", text or "")
    if len(numbers) < 2:
        return None
    soft, hard = (-1 if n == "unlimited" else int(n) for n in numbers[:2])
    return soft, hard


def _links(text: str) -> Mapping[str, str]:
    words = text.split("\0")
    return dict(zip(words[::2], words[1::2], strict=False))


def _open_files(gathered: Gathered) -> tuple[Counter[int], defaultdict[int, set[str]]]:
    writing = {
        (match.group(1), match.group(2))
        for line in gathered.answer("fdflags").splitlines()
        if (match := _WRITING.match(line))
    }
    counts: Counter[int] = Counter()
    written: defaultdict[int, set[str]] = defaultdict(set)
    for path, target in _links(gathered.answer("fds")).items():
        parts = path.split("/")
        if len(parts) != 5 or not parts[2].isdigit():
            continue
        counts[int(parts[2])] += 1
        is_file = target.startswith("/") and not target.startswith(("/dev/", "/proc/", "/sys/"))
        if is_file and (parts[2], parts[4]) in writing:
            written[int(parts[2])].add(target)
    return counts, written


def socket_owners(gathered: Gathered) -> dict[str, int]:
    """Socket inode → pid, for the processes whose descriptors may be read."""
    owners: dict[str, int] = {}
    for path, target in _links(gathered.answer("fds")).items():
        if target.startswith("socket:[") and path.split("/")[2].isdigit():
            owners.setdefault(target[8:-1], int(path.split("/")[2]))
    return owners
