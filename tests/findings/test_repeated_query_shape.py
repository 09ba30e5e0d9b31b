"""The same statement, as three sources write it."""

from __future__ import annotations

import pytest

from hikkoshi.findings.rules.repeats_a_query_for_each_row import shape


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT name FROM people WHERE id = $1",
        "SELECT name  FROM people\n WHERE id = %s;",
        "select name from people where id = 42",
        "SELECT name FROM people WHERE id = ?",
    ],
)
def test_values_and_layout_do_not_count(statement):
    assert shape(statement) == "select name from people where id = ?"


def test_other_statements_stay_apart():
    assert shape("SELECT a FROM t1") != shape("SELECT a FROM t2")
    assert shape("SELECT 'it''s' FROM t") == "select ? from t"
