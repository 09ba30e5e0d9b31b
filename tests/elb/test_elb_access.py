"""A line of HAProxy's log as a row of the access log."""

from __future__ import annotations

import pytest

from hikkoshi.region.elb.access import request_of

OWN = "1-6b053af4-0123456789abcdef01234567"
ROOT = "1-5759e988-bd862e3fe1be46a994272793"
W3C = "4bf92f3577b34da6a3ce929d0e0e4736"


def line(root: str = "-", w3c: str = "-", path: str = "/reports", **more: str) -> str:
    words = {"status": "200", "began": "1795504883250", "took": "40", "own": OWN} | more
    return (
        f"listener-1 group-1 {words['status']} 35 -- {words['began']} {words['took']} "
        f"{words['own']} {root} {w3c} GET {path}"
    )


def test_a_request_has_its_own_id_or_the_senders() -> None:
    row = request_of(line(), {"group-1": "arn:group"})
    assert row == {
        "t_start": 1795504883.25, "t_end": pytest.approx(1795504883.29), "trace_id": OWN,
        "span_id": "89abcdef01234567", "w3c_trace_id": None, "method": "GET", "path": "/reports",
        "status": 200, "target_group": "arn:group",
    }  # fmt: skip
    given = request_of(line(ROOT.upper().replace("1-", "1-", 1), W3C, path="/a b"), {})
    assert given is not None
    assert (given["trace_id"], given["target_group"]) == (ROOT, None)
    assert given["w3c_trace_id"] == "1-4bf92f35-77b34da6a3ce929d0e0e4736"
    assert given["span_id"] == "89abcdef01234567" and given["path"] == "/a b"


@pytest.mark.parametrize(
    ("root", "w3c"), [("_a_b", "0" * 32), ("1-5-a", "ffff"), ("Root", "_script_" + "f" * 24)]
)
def test_what_is_no_id_is_not_taken(root: str, w3c: str) -> None:
    row = request_of(line(root, w3c), {})
    assert row is not None and (row["trace_id"], row["w3c_trace_id"]) == (OWN, None)


@pytest.mark.parametrize(
    "text",
    ["", "listener-1 group-1 200 35 --", line(own="-"), line(began="-"), line(took="-1"),
     line(own=OWN[:-1])],
)  # fmt: skip
def test_a_line_that_tells_too_little_is_no_row(text: str) -> None:
    assert request_of(text, {}) is None


def test_a_request_without_an_answer_has_no_status() -> None:
    row = request_of(line(status="-1"), {})
    assert row is not None and row["status"] is None
