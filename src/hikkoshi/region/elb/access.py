"""The load balancer's access log: one request as it saw it, with the ids that join it to traces.

What AWS writes to S3 minutes later (trace_id, request_processing_time, …), here as rows of the
evidence at once. Source: AWS's page "Access logs for your Application Load Balancer"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MOST_PATH = 200
ACCESS_FORMAT = (
    "%[var(txn.t0)] %Ta %[var(txn.id)] %[var(txn.root)] %[var(txn.w3c)] %HM %[var(txn.path)]"
)
"""Begin (epoch milliseconds), milliseconds until the answer's end, our own id, the id that the
sender gave as Root, the sender's W3C trace id, method, path; `-` for what there is not."""

# A space in what the sender gave would shift what follows it.
ACCESS_RULES = (
    f"  http-request set-var(txn.path) path,bytes(0,{MOST_PATH})",
    "  http-request set-var(txn.root) req.fhdr(X-Amzn-Trace-Id),regsub(^.*Root=,),field(1,;),"
    "regsub([^0-9a-fA-F-],_,g),bytes(0,35) if { req.fhdr(X-Amzn-Trace-Id) -m sub Root= }",
    "  http-request set-var(txn.w3c) req.fhdr(traceparent),field(2,-),"
    "regsub([^0-9a-f],_,g),bytes(0,32) "
    "if { req.fhdr(traceparent) -m found }",
)

_OWN = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}")
_ROOT = re.compile(r"1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24}")
_W3C = re.compile(r"(?!0{32})[0-9a-f]{32}")


def request_of(line: str, groups: Mapping[str, str]) -> dict[str, Any] | None:
    """A row of `balanced` from a line of LOG_FORMAT; None for one that tells too little.

    groups: target group's ARN by its backend. What the sender gave is taken only where it has the
    form of an id; the path is text."""
    words = line.split(" ", 11)
    if len(words) != 12:
        return None
    _, backend, status, _, _, began, took, own, root, w3c, method, path = words
    if not began.isdigit() or not took.isdigit() or not _OWN.fullmatch(own):
        return None
    t_start = int(began) / 1000
    return {
        "t_start": t_start,
        "t_end": t_start + int(took) / 1000,
        "trace_id": root.lower() if _ROOT.fullmatch(root) else own,
        "span_id": own[-16:],
        "w3c_trace_id": f"1-{w3c[:8]}-{w3c[8:]}" if _W3C.fullmatch(w3c) else None,
        "method": method[:20],
        "path": path,
        "status": int(status) if status.isdigit() and int(status) > 0 else None,
        "target_group": groups.get(backend),
    }
