"""How long connections from inside a task to a peer take: whether a network fault is felt there."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass

from hikkoshi.base.units import format_duration
from hikkoshi.faults.inside import run_inside
from hikkoshi.faults.model import Place

MANY = 10
_CONNECT_S = 2
# The kernel sends a lost SYN again after 1 s; what takes nearly as long lost one.
_RESENT_S = 0.9
_MARK = "hikkoshi-trips:"
_MEASURE = f"""
if command -v python3 >/dev/null; then python3 -c '
import socket, sys, threading, time
took = ["-"] * int(sys.argv[3])
def connect(n):
    start = time.perf_counter()
    try:
        socket.create_connection(peer, {_CONNECT_S}).close()
        took[n] = "%.6f" % (time.perf_counter() - start)
    except OSError: pass
try: peer = (socket.gethostbyname(sys.argv[1]), int(sys.argv[2]))
except OSError: peer = None
if peer:
    each = [threading.Thread(target=connect, args=(n,)) for n in range(len(took))]
    [one.start() for one in each]; [one.join() for one in each]
print("{_MARK}", *took)
' "$1" "$2" "$3"
elif command -v curl >/dev/null; then n=0; t=
  while [ "$n" -lt "$3" ]; do n=$((n+1))
    t="$t $(curl -s -o /dev/null --connect-timeout {_CONNECT_S} -m {_CONNECT_S} \
      -w '%{{time_connect}}' "http://$1:$2")"
  done; echo "{_MARK}$t"
fi
"""


@dataclass(frozen=True, slots=True)
class Trips:
    """Seconds of each connection; None for one that failed."""

    took: tuple[float | None, ...]

    def reached(self) -> list[float]:
        return [each for each in self.took if each is not None]


def measure(place: Place, task: str, container: str, host: str, port: int) -> Trips | None:
    """None: the container has neither python3 nor curl."""
    argv = ["/bin/sh", "-c", _MEASURE, "sh", host, str(port), str(MANY)]
    return read_trips(run_inside(place, task, container, argv, timeout_s=60).text)


def read_trips(text: str) -> Trips | None:
    """curl tells a connection that failed as 0."""
    found = re.search(rf"{_MARK}((?: +\S+)+)", text)
    if found is None:
        return None
    words = found[1].split()
    return Trips(tuple(None if w == "-" or float(w) == 0 else float(w) for w in words))


def felt(kind: str, before: Trips, during: Trips, delay_s: float) -> str | None:
    """What shows that the fault is felt; None when nothing does. before has reached the peer."""
    usual, now = statistics.median(before.reached()), during.reached()
    if kind == "network-latency":
        if now and statistics.median(now) < usual + delay_s / 2:
            return None
        told = f"takes {format_duration(statistics.median(now))}" if now else "takes for ever"
        return f"a connection took {format_duration(usual)} and {told}"
    if kind == "network-blackhole-port":
        return None if now else f"none of {len(during.took)} connections gets through"
    worse = len(during.took) - sum(each < _RESENT_S for each in now)
    return f"{worse} of {len(during.took)} connections lost packets" if worse else None
