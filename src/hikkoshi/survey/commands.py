"""The fixed commands that a survey runs on a host. POSIX sh, read-only, no root.

Nothing that came from a host is ever put into one of these texts. Paths go in on standard input,
separated by NUL. Every part of the output begins and ends with a line that holds a random word of
this run (`@`), which no file on the host can know.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

# name → command. Each is one part of the answer to one round trip.
FACTS: dict[str, str] = {
    "id": "id -u",
    "uname": "uname -srm",
    "cpus": "getconf _NPROCESSORS_ONLN",
    "time": "date +%s; getconf CLK_TCK; cut -d' ' -f1 /proc/uptime",
    "meminfo": "cat /proc/meminfo",
    "swaps": "cat /proc/swaps",
    "mounts": "cat /proc/self/mounts",
    "passwd": "getent passwd",
    "units": "systemctl show --no-pager -p Id,LoadState,ActiveState,UnitFileState,MainPID,"
    "LimitNOFILE,MemoryPeak,NRestarts '*.service' '*.timer' '*.socket'",
    "stat": "grep -aH '' /proc/[0-9]*/stat",
    "status": "grep -aHE '^(Name|Uid|VmHWM|VmRSS|Threads):' /proc/[0-9]*/status",
    "cmdline": "grep -aH '' /proc/[0-9]*/cmdline",
    "cgroup": "grep -aH '' /proc/[0-9]*/cgroup",
    "limits": "grep -aH '^Max open files' /proc/[0-9]*/limits",
    "links": "find /proc/[0-9]*/exe /proc/[0-9]*/cwd -maxdepth 0 -printf '%p\\0%l\\0'",
    "fds": "find /proc/[0-9]*/fd -mindepth 1 -maxdepth 1 -printf '%p\\0%l\\0'",
    "fdflags": "grep -aH '^flags:' /proc/[0-9]*/fdinfo/[0-9]*",
    "net": "grep -aH '' /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6",
    "hosts": "cat /etc/hosts",
    "dpkg": "dpkg-query -W -f '${db:Status-Abbrev}\\t${Package}\\t${Version}\\n'",
    "rpm": "rpm -qa --qf '%{NAME}\\t%{VERSION}-%{RELEASE}\\n'",
    "crontab": "crontab -l",
    "stat_after": "sleep @window; grep -aH '' /proc/[0-9]*/stat",
    "time_after": "cut -d' ' -f1 /proc/uptime",
}

LIST = (
    'xargs -0 -r sh -c \'find "$@" -mindepth 1 -maxdepth @depth '
    '-printf "%p\\0%y\\0%s\\0%T@\\0%m\\0%u\\0%l\\0"\' sh'
)
# tar: content, size and time of many files by one process, whatever their names are.
READ = (
    'xargs -0 -r sh -c \'find -L "$@" -maxdepth 0 -type f -size -@kilobytes"k" -print0\' sh '
    "| tar -chf - --ignore-failed-read --null --no-recursion -T -"
)
TAILS = "xargs -0 -r -n 1 tail -c @limit --"
DPKG_OWNERS = "xargs -0 -r dpkg-query -S --"
RPM_OWNERS = 'xargs -0 -r -n 1 sh -c \'printf "%s\\0" "$1"; rpm -qf --qf "%{NAME}\\0" "$1"\' sh'

_WORD = re.compile(r"^[a-z0-9]+$")


def script(parts: Iterable[tuple[str, str]], word: str) -> str:
    """One shell text for many parts. word: of this run, letters and digits."""
    assert _WORD.match(word)
    lines = ["LC_ALL=C", "export LC_ALL", 'PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin"']
    for name, command in parts:
        lines.append(f"printf '%s begin %s\\n' {word} {shlex.quote(name)}")
        lines.append(f"{{ {command}; }} 2>/dev/null")
        lines.append(f"printf '\\n%s end %s %s\\n' {word} {shlex.quote(name)} $?")
    return "\n".join(lines) + "\n"


def parts_of(output: bytes, word: str) -> dict[str, tuple[bytes, int | None]]:
    """name → (content, exit code). A part whose end did not come has the code None."""
    found: dict[str, tuple[bytes, int | None]] = {}
    mark = re.escape(word.encode())
    begin = re.compile(rb"^" + mark + rb" begin ([^\n]*)\n", re.MULTILINE)
    starts = list(begin.finditer(output))
    for index, start in enumerate(starts):
        name = start.group(1)
        limit = starts[index + 1].start() if index + 1 < len(starts) else len(output)
        body = output[start.end() : limit]
        end = re.search(rb"\n" + mark + rb" end " + re.escape(name) + rb" (\d+)\n", body)
        content = body[: end.start()] if end else body
        found[name.decode("utf-8", "replace")] = (content, int(end.group(1)) if end else None)
    return found


def glob_words(patterns: Iterable[str]) -> str:
    """Our own fixed patterns as shell words: everything is quoted but `*`, `?` and `[…]`."""
    return " ".join(
        re.sub(r"[^*?\[\]]+", lambda m: shlex.quote(m.group()), pattern) for pattern in patterns
    )
