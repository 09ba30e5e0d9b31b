"""The port that the load balancer asks, listened to on the loopback address alone."""

from __future__ import annotations

import ipaddress

from hikkoshi.evidence import occasions
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured, service_of, whole_number
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "binds-localhost"
TITLE = "Listens on localhost only"
APPLIES = Applies((Need.LOAD, Need.PORT), since=2)


def is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    port = whole_number(evidence, "container_port")
    if port is None:
        return NotJudged(NAME, "the run does not say which port is asked")
    by_task: dict[str, set[str]] = {}
    for one in occasions.listening(evidence, port):
        if not windows.is_foreign(one.t):
            by_task.setdefault(one.task, set()).add(one.address)
    if not by_task:
        return NotJudged(NAME, f"no task was seen to listen on port {port}")
    alone = {task: found for task, found in by_task.items() if all(map(is_loopback, found))}
    if not alone:
        return None
    shown = ", ".join(sorted({address for found in alone.values() for address in found}))
    return Finding(
        NAME,
        Certainty.FACT,
        service_of(evidence),
        f"The service listens on {shown}:{port} only: in the task's own network, where the load "
        "balancer cannot reach it. No target ever becomes healthy.",
        (
            measured(
                f"tasks that listen on port {port} on a loopback address alone (/proc/net/tcp)",
                f"{len(alone)} of {len(by_task)}: {shown}",
                "1, and no other address",
            ),
        ),
        (
            'Listen on all addresses: app.run(host="0.0.0.0"), gunicorn --bind 0.0.0.0:8080, '
            'uvicorn --host 0.0.0.0; http.ListenAndServe(":8080", …) in Go; server.listen(8080) '
            "without a host in Node.",
            "What may reach it is the security group's business: allow the load balancer's group "
            "alone.",
        ),
    )
