"""A rule's condition as an anonymous ACL of HAProxy."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

from hikkoshi.region.elb.answers import quoted
from hikkoshi.region.elb.model import Document


def acl_of(condition: Document) -> str:
    """An anonymous ACL; more values in one condition are alternatives, as at AWS."""
    field = condition["Field"]

    def values(config: str) -> list[Any]:
        return list(condition.get(config, {}).get("Values") or condition.get("Values") or [])

    if field == "host-header":
        found = values("HostHeaderConfig")
        return f"{{ req.hdr(host),field(1,:) -m reg -i {_patterns(found)} }}"
    if field == "path-pattern":
        return f"{{ path -m reg {_patterns(values('PathPatternConfig'))} }}"
    if field == "http-header":
        config = condition["HttpHeaderConfig"]
        return f"{{ req.fhdr({config['HttpHeaderName']}) -m reg -i {_patterns(config['Values'])} }}"
    if field == "http-request-method":
        found = values("HttpRequestMethodConfig")
        return "{ method -m str " + " ".join(quoted(value) for value in found) + " }"
    if field == "source-ip":
        nets = [str(ipaddress.ip_network(value)) for value in condition["SourceIpConfig"]["Values"]]
        return "{ src " + " ".join(nets) + " }"
    if field == "query-string":
        patterns = [
            "(^|&)"
            + (_wild(pair["Key"], "[^&=]") if pair.get("Key") else "[^&=]*")
            + f"={_wild(pair['Value'], '[^&]')}(&|$)"
            for pair in condition["QueryStringConfig"]["Values"]
        ]
        return "{ query -m reg -i " + " ".join(quoted(pattern) for pattern in patterns) + " }"
    raise ValueError(f"{field} is no condition that is known here")


def _patterns(values: Sequence[str]) -> str:
    return " ".join(quoted(f"^{_wild(value, '.')}$") for value in values)


def _wild(text: str, any_character: str) -> str:
    """AWS's wildcards: `*` is any number of characters, `?` is exactly one."""
    special = {"*": any_character + "*", "?": any_character}
    return "".join(special.get(letter, re.escape(letter)) for letter in text)
