"""Faults inside a container, by ECS Exec: CPU, memory, names.

Each command ends by itself after its time, so that nothing is left even if this program is killed.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

from hikkoshi.base.errors import HikkoshiError
from hikkoshi.faults.inside import choose, is_alive, run_inside
from hikkoshi.faults.model import NotTried, Place, Plain
from hikkoshi.faults.service import short

_MARK = "hikkoshi-fault-begun"
MEMORY_MIB = 256
_CPU = """
end=$(( $(date +%s) + {hold} )); n=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
echo {mark} $n; i=0
while [ $i -lt $n ]; do
  ( while [ $(date +%s) -le $end ]; do j=0; while [ $j -lt 20000 ]; do j=$((j+1)); done; done ) &
  i=$((i+1))
done; wait; times
"""
# tail keeps what it reads until it sees the end: no file, no other program is needed.
_MEMORY = """
echo {mark} {mib}
(head -c {mib}m /dev/zero | tr '\\0' x; sleep {hold}) | tail -n 1 | wc -c
"""
_NAMES = """
cp /etc/resolv.conf /tmp/hikkoshi-resolv.conf || exit 9
printf 'nameserver 192.0.2.1\\noptions timeout:1 attempts:1\\n' > /etc/resolv.conf || exit 9
trap 'cat /tmp/hikkoshi-resolv.conf > /etc/resolv.conf' EXIT
trap 'exit 0' HUP TERM INT
echo {mark} 1; sed -n 's/^nameserver/hikkoshi-fault-server/p' /etc/resolv.conf
i=0; while [ $i -lt {hold} ]; do sleep 1; i=$((i+1)); done
"""


class InsideFault(Plain):
    """script: with {hold} (seconds), {mark}, {mib}. It prints the mark once it has begun."""

    def __init__(
        self, place: Place, script: str, show: Callable[[str], str | None], mib: int = 0
    ) -> None:
        """show: from what the script printed to what it did; None: nothing shows it."""
        self._place = place
        self._script = script.format(hold=max(1, round(place.hold_s)), mark=_MARK, mib=mib)
        self._show = show
        self._task = self._container = ""
        self._thread: threading.Thread | None = None
        self._output = ""
        self._failure: HikkoshiError | None = None
        self._t_begun: float | None = None

    def prepare(self) -> None:
        self._task, self._container = choose(self._place)
        check = ["/bin/sh", "-c", "command -v sleep && command -v head"]
        outcome = run_inside(self._place, self._task, self._container, check, timeout_s=20)
        if outcome.code != 0:
            raise NotTried(f"the container {self._container} has no shell to do it with")

    def inject(self) -> None:
        self._t_begun = time.time()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self._thread.join(1.5)
        if not self._thread.is_alive() and _MARK not in self._output:
            said = self._failure.what if self._failure else self._output.strip()[-200:]
            raise NotTried(f"it did not begin in {self._container}: {said or 'nothing was said'}")

    def _work(self) -> None:
        argv = ["/bin/sh", "-c", self._script]
        try:
            outcome = run_inside(
                self._place, self._task, self._container, argv, timeout_s=self._place.hold_s + 60
            )
            self._output = outcome.text
        except HikkoshiError as error:
            self._failure = error

    def proof(self) -> str | None:
        """What the command itself measured; or that its task was ended by it."""
        if self._thread is not None and self._thread.is_alive():
            return None
        shown = self._show(self._output) if _MARK in self._output else None
        if shown is not None:
            return f"in {self._container}: {shown}"
        if self._task and not is_alive(self._place, self._task):
            return f"the task {short(self._task)} of {self._container} ended meanwhile"
        return None

    def is_over(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def undo(self) -> None:
        """The command ends by its own clock; here that is waited for."""
        if self._thread is not None:
            self._thread.join(self._place.hold_s + 10)


def cpu_seconds(output: str) -> float:
    """Of the children, as the shell's `times` tells it: the second line, user and system."""
    pairs = re.findall(r"(\d+)m([\d.]+)s\s+(\d+)m([\d.]+)s", output)
    if not pairs:
        return 0.0
    user_m, user_s, system_m, system_s = pairs[-1]
    return 60 * (int(user_m) + int(system_m)) + float(user_s) + float(system_s)


def cpu_pressure(place: Place) -> InsideFault:
    def show(output: str) -> str | None:
        used = cpu_seconds(output)
        return f"{used:.1f} s of CPU were burnt in {place.hold_s:g} s" if used > 0.05 else None

    return InsideFault(place, _CPU, show)


def memory_pressure(place: Place) -> InsideFault:
    def show(output: str) -> str | None:
        held = re.findall(r"^\s*(\d{6,})\s*$", output, re.MULTILINE)
        return f"{int(held[-1]) >> 20} MiB were held for {place.hold_s:g} s" if held else None

    return InsideFault(place, _MEMORY, show, mib=MEMORY_MIB)


def dns_failure(place: Place) -> InsideFault:
    def show(output: str) -> str | None:
        answer = re.search(r"hikkoshi-fault-server (\S+)", output)
        return f"names were asked of {answer[1]}, which does not answer" if answer else None

    return InsideFault(place, _NAMES, show)
