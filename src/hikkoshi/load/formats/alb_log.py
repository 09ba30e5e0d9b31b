"""Access logs of an Application Load Balancer: its own mix of requests, sent again.

Source: AWS, "Access logs for your Application Load Balancer". Each address is sent as often as it
stands in the log. Bodies are not in it, so only GET, HEAD and OPTIONS can be sent again.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from urllib.parse import urlsplit

from hikkoshi.base.errors import BadInput
from hikkoshi.load.formats.found import Found, endpoint_of, literal, told, weighted
from hikkoshi.load.targets import CONTROL, Target, lines_of, url_problem

_LINE = re.compile(
    r"^(?P<type>https?|h2|grpcs?|wss?) (?P<time>\S+) (?P<balancer>\S+) (?P<client>\S+) "
    r"(?P<target>\S+) \S+ \S+ \S+ (?P<status>\d{3}|-) \S+ \d+ \d+ "
    r'"(?P<request>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
)
_SENT_AGAIN = frozenset({"GET", "HEAD", "OPTIONS"})
MOST_ADDRESSES = 5000
_FIX = "give an ALB's access log as it lies in S3 (one line a request; .gz may stay)"


def is_alb_log(text: str) -> bool:
    return _LINE.match(text.lstrip().partition("\n")[0]) is not None


def parse_alb_log(text: str, where: str) -> Found:
    """BadInput names the line that is none of an access log."""
    left_out: Counter[str] = Counter()
    counts: Counter[Target] = Counter()
    firsts: dict[tuple[str, str], Target] = {}
    times = []
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip():
            continue
        match = _LINE.match(line)
        if match is None:
            raise BadInput(
                f"not a line of an ALB's access log: {line[:80]!r}", where=f"{where}:{number}",
                fix=_FIX,
            )  # fmt: skip
        times.append(match["time"])
        target = _target(match, f"{where}:{number}", left_out)
        if target is not None:
            # Not told apart by the agent: an address is one target, with the first agent seen.
            key = (target.method, target.url)
            counts[firsts.setdefault(key, target)] += 1
    if not counts:
        why = f": {'; '.join(told(left_out))}" if left_out else ""
        raise BadInput(f"no request that can be sent again{why}", where=where, fix=_FIX)
    rare = len(counts) - MOST_ADDRESSES
    if rare > 0:
        left_out["of the rarest addresses were left out"] = rare
        kept = {target for target, _ in counts.most_common(MOST_ADDRESSES)}
        counts = Counter({target: n for target, n in counts.items() if target in kept})
    return Found(weighted(counts), (*_rate(times), *told(left_out)))


def _target(match: re.Match[str], place: str, left_out: Counter[str]) -> Target | None:
    method, _, rest = match["request"].partition(" ")
    url = rest.rpartition(" ")[0]
    if match["type"] not in ("http", "https", "h2"):
        left_out[f"{match['type']} connections were left out"] += 1
        return None
    if method not in _SENT_AGAIN:
        is_broken = method == "-" or not method.isupper()
        left_out[
            "requests that the balancer itself could not read were left out"
            if is_broken
            else f"{method} requests were left out: a log has no bodies"
        ] += 1
        return None
    if url_problem(url):
        left_out["requests with an address that cannot be sent were left out"] += 1
        return None
    agent = match["agent"]
    is_told = agent not in ("", "-") and not CONTROL.search(agent)
    headers = (("User-Agent", literal(agent)),) if is_told else ()
    url = _without_usual_port(url)
    return Target(method, literal(url), headers, name=endpoint_of(method, url), where=place)


def _without_usual_port(url: str) -> str:
    """ALB writes the port always; clients do not send it when it is the usual one."""
    parts = urlsplit(url) if url.startswith("http") else None
    if parts is None or not parts.netloc:
        return url
    usual = ":443" if parts.scheme == "https" else ":80"
    return parts._replace(netloc=parts.netloc.removesuffix(usual)).geturl()


def _rate(times: list[str]) -> tuple[str, ...]:
    try:
        moments = sorted(datetime.fromisoformat(each.replace("Z", "+00:00")) for each in times)
    except ValueError:
        return ()
    seconds = (moments[-1] - moments[0]).total_seconds()
    if seconds <= 0:
        return ()
    rate = len(times) / seconds
    return (f"{len(times)} requests in {seconds:.0f} s: the log's own rate was {rate:.2f}/s",)
