"""Which processes a started program became: bwrap stands between us and the server."""

from __future__ import annotations

from pathlib import Path


def descendants(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """The process and all below it, nearest first, as this PID namespace numbers them."""
    children: dict[int, list[int]] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            parent = _parent(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for known in found:
        found.extend(sorted(children.get(known, [])))
    return found


def first_named(pid: int, name: str, proc: Path = Path("/proc")) -> int | None:
    """The nearest process at or below pid whose program has that name."""
    for candidate in descendants(pid, proc):
        try:
            if (proc / str(candidate) / "comm").read_text().strip() == name:
                return candidate
        except OSError:
            continue
    return None


def _parent(entry: Path) -> int | None:
    try:
        stat = (entry / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The program's name, in parentheses, may itself have spaces and parentheses.
    return int(stat.rpartition(")")[2].split()[1])
