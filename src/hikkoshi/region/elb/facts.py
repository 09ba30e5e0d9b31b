"""What AWS tells of ELBv2 itself: its security policies and its quotas.

Sources: AWS's pages "Security policies for your Application Load Balancer" and "Quotas for your
Application Load Balancers" (and of Network Load Balancers); the quotas are AWS's defaults, and
nothing here holds to them but what terms.py refuses.
"""

from __future__ import annotations

import re

_OLD = {
    "ELBSecurityPolicy-2016-08": (0, 2),
    "ELBSecurityPolicy-2015-05": (0, 2),
    "ELBSecurityPolicy-TLS-1-0-2015-04": (0, 2),
    "ELBSecurityPolicy-TLS-1-1-2017-01": (1, 2),
    "ELBSecurityPolicy-TLS-1-2-2017-01": (2, 2),
    "ELBSecurityPolicy-TLS-1-2-Ext-2018-06": (2, 2),
    "ELBSecurityPolicy-FS-2018-06": (0, 2),
    "ELBSecurityPolicy-FS-1-1-2019-08": (1, 2),
    "ELBSecurityPolicy-FS-1-2-2019-08": (2, 2),
    "ELBSecurityPolicy-FS-1-2-Res-2019-08": (2, 2),
    "ELBSecurityPolicy-FS-1-2-Res-2020-10": (2, 2),
}
_WITH_TLS13 = re.compile(r"ELBSecurityPolicy-TLS13-1-([0-3])-(?:[A-Za-z0-9]+-)*20\d\d-\d\d")
SSL_POLICIES = (
    *_OLD,
    "ELBSecurityPolicy-TLS13-1-0-2021-06",
    "ELBSecurityPolicy-TLS13-1-1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
)
"""Those that are listed. Others of TLS 1.3 (FIPS, post-quantum) are taken by the form of their
names, which say the oldest protocol."""


def tls_versions(policy: str) -> tuple[str, ...] | None:
    """A policy's protocols, as AWS and HAProxy name them (`TLSv1`, `TLSv1.1`, …), oldest first;
    None if there is no such policy."""
    if policy in _OLD:
        oldest, newest = _OLD[policy]
    elif match := _WITH_TLS13.fullmatch(policy):
        oldest, newest = int(match[1]), 3
    else:
        return None
    return tuple(f"TLSv1.{n}" if n else "TLSv1" for n in range(oldest, newest + 1))


QUOTAS = {
    "application-load-balancers": 50,
    "network-load-balancers": 50,
    "target-groups": 3000,
    "listeners-per-application-load-balancer": 50,
    "listeners-per-network-load-balancer": 50,
    "rules-per-application-load-balancer": 100,
    "certificates-per-application-load-balancer": 25,
    "certificates-per-network-load-balancer": 25,
    "targets-per-application-load-balancer": 1000,
    "targets-per-network-load-balancer": 3000,
    "targets-per-availability-zone-per-network-load-balancer": 500,
    "targets-per-target-group": 1000,
    "target-groups-per-application-load-balancer": 100,
    "target-groups-per-action-on-application-load-balancer": 5,
    "condition-values-per-alb-rule": 5,
}
