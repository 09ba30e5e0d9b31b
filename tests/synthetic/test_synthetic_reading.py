"""Bad files are refused with line and key; the pure parts in tables."""

from __future__ import annotations

from typing import Any

import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic import parse_tests
from hikkoshi.synthetic.expectations import Condition, holds
from hikkoshi.synthetic.jsonpath import parse_path
from hikkoshi.synthetic.templates import filled, names_in

DOCUMENT = {"a": {"b c": [1, {"d": "x"}], "é": 2}, "list": [{"n": 1}, {"n": 2}, {}]}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("$", [DOCUMENT]),
        ("$.a['b c'][0]", [1]),
        ('$.a["b c"][1].d', ["x"]),
        ("$.a.é", [2]),
        ("$.list[-1]", [{}]),
        ("$.list[*].n", [1, 2]),
        ("$.list.length()", [3]),
        ("$.list[9]", []),
        ("$.a.missing.more", []),
        ("$.list.n", []),
        ("$.a[0]", []),
    ],
)
def test_paths_lead_to_values(path: str, values: list[Any]) -> None:
    assert parse_path(path).find(DOCUMENT) == values


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("$..n", [1, 2]),
        ("$.list[?@.n > 1].n", [2]),
        ("$.list[0:2].n", [1, 2]),
        ("$.list[(@.length-2)].n", [2]),
        ("$.list.length", [3]),
        ("$.list[*].length()", [1, 1, 0]),
        ("a.é", [2]),
    ],
)
def test_paths_are_those_of_the_standard_and_of_javascript(path: str, values: list[Any]) -> None:
    assert parse_path(path).find(DOCUMENT) == values


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a.b", "begins with $"),
        ("$a", "begins with $"),
        ("$.length().a", "at character 9"),
        ("$.a.keys()", "at character 9"),
        ("$.a[", "at character 5"),
    ],
)
def test_what_is_no_path_is_refused(path: str, words: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_path(path, needs_root=True)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("operator", "operand", "values", "is_kept"),
    [
        ("equals", 1, [1.0], True),
        ("equals", 1, [True], False),
        ("equals", None, [None], True),
        ("equals", {"a": [1]}, [{"a": [True]}], False),
        ("equals", "x", [], False),
        ("equals", "x", ["x", "y"], False),
        ("not", "x", ["y"], True),
        ("exists", True, [None], True),
        ("exists", False, [], True),
        ("exists", False, [0], False),
        ("matches", r"^\d+$", ["12"], True),
        ("matches", r"^\d+$", [12], False),
        ("contains", "b", ["abc"], True),
        ("contains", 2, [[1, 2]], True),
        ("contains", "k", [{"k": 0}], True),
        ("contains", 1, [1], False),
        ("less than", 5, [4], True),
        ("less than", 5, [5], False),
        ("at most", 5, [5], True),
        ("at least", 5, ["5.5"], True),
        ("more than", 5, ["many"], False),
        ("more than", 0, [True], False),
        ("one of", ["a", "b"], ["b"], True),
    ],
)
def test_conditions(operator: str, operand: Any, values: list[Any], is_kept: bool) -> None:
    assert holds(Condition(operator, operand), values) is is_kept


def test_templates_keep_types_and_quote_inside_texts() -> None:
    names = {"n": 3, "b": True, "s": "a/b"}
    assert filled({"x": ["{{n}}", "no {{ n }}", "{{b}}", "is {{b}}"]}, names) == {
        "x": [3, "no 3", True, "is true"]
    }
    assert filled("/x/{{s}}/y", names, lambda text: text.replace("/", "%2F")) == "/x/a%2Fb/y"
    assert names_in([{"{{a}}": "{{env.B}}"}, "{{ c }}"]) == ["a", "env.B", "c"]


HEAD = "tests:\n  - name: it\n    request: GET /\n"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "t.yaml", "empty"),
        ("tests: [\n", "t.yaml:2:1", "not YAML"),
        ("tests: []\n", "t.yaml:1 (tests)", "list of tests is empty"),
        ("test: []\n", "t.yaml:1 (test)", "did you mean 'tests'?"),
        ("tests:\n  - request: GET /\n", "t.yaml:2 (tests[0])", "without a name"),
        (HEAD + "    expct: {}\n", "t.yaml:4 (tests[0].expct)", "did you mean 'expect'?"),
        (HEAD + "    expect: {stats: 2}\n", "t.yaml:4 (tests[0].expect.stats)", "'status'"),
        (HEAD + "    expect: {status: 99}\n", "t.yaml:4 (tests[0].expect.status)", "a status"),
        (HEAD + "    expect: {time: soon}\n", "t.yaml:4 (tests[0].expect.time)", "duration"),
        (HEAD + "    name: again\n", "t.yaml:4 (tests[0].name)", "twice"),
        (HEAD + "    expect:\n      json:\n        $.a[: 1\n",
         "t.yaml:6 (tests[0].expect.json.$.a[)", "not a JSONPath"),
        (HEAD + "    expect: {json: {$.a: {matches: '('}}}\n",
         "t.yaml:4 (tests[0].expect.json.$.a.matches)", "regular expression"),
        (HEAD + "    expect: {json: {$.a: {less: 1}}}\n",
         "t.yaml:4 (tests[0].expect.json.$.a.less)", "did you mean 'less than'?"),
        (HEAD + "    expect: {json: {$.a: {less than: x}}}\n",
         "t.yaml:4 (tests[0].expect.json.$.a.less than)", "not a number"),
        (HEAD + "    body: '{{later}}'\n", "t.yaml:4 (tests[0].body)", "{{later}} is not known"),
        (HEAD + "    retry: lots\n", "t.yaml:4 (tests[0].retry)", "retry is 'lots'"),
        (HEAD + "    steps: []\n", "t.yaml:3 (tests[0].request)", "both steps and request"),
        (HEAD + "  - name: it\n    request: GET /\n", "t.yaml:4 (tests[1])", "second test 'it'"),
        ("tests:\n  - name: it\n    request: fetch /\n",
         "t.yaml:3 (tests[0].request)", "not a request"),
        ("tests:\n  - name: it\n    expect: {json: {$.a[0]: 1}}\n", "t.yaml:3:24", "put quotes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, where: str, what: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_tests(text, "t.yaml")
    assert error.value.where == where
    assert what in str(error.value)


def test_dates_stay_texts_and_plain_exists_is_an_operator() -> None:
    text = HEAD + "    expect: {json: {$.day: 2026-07-01, $.id: exists}}\n"
    (test,) = parse_tests(text)
    assert [condition for _, condition in test.steps[0].expect.json] == [
        Condition("equals", "2026-07-01"),
        Condition("exists", True),
    ]
