"""Mistakes that people make in files, and what they are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.base.errors import BadInput
from hikkoshi.project.documents import read_document
from hikkoshi.project.json_positions import JsonMistake, read_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON, st.sampled_from([None, 2]))
def test_reads_what_the_standard_library_reads(value: object, indent: int | None) -> None:
    assert read_json(json.dumps(value, indent=indent)).value == value


@given(st.text(max_size=60))
def test_agrees_with_the_standard_library_on_what_is_broken(text: str) -> None:
    try:
        expected = json.loads(text)
        is_whole = True
    except (ValueError, RecursionError):
        is_whole = False
    if not is_whole:
        with pytest.raises(JsonMistake):
            read_json(text)
    elif expected == expected:  # NaN, which json takes and JSON does not, differs from itself
        try:
            assert read_json(text).value == expected
        except JsonMistake:
            assert any(word in text for word in ("NaN", "Infinity")) or "stands twice" in text


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ('{\n  "essential": true\n  "name": "app"\n}', 2, 20, "a comma is missing after"),
        ('{\n  "a": 1,\n}', 2, 9, "a comma stands before the closing"),
        ("[1, 2", 1, 6, "the text ends where"),
        ("{'a': 1}", 1, 2, "double quotes"),
        ('{"a": 1, // why\n "b": 2}', 1, 10, "no comments"),
        ('{"a": 1, "a": 2}', 1, 10, "stands twice"),
        ('{"a" 1}', 1, 6, "a colon after"),
        ('{"a": tru}', 1, 7, "a value should be here"),
        ('{"a": "x\ny"}', 1, 7, "this string is broken"),
        ("{} {}", 1, 4, "more text after the end"),
    ],
)
def test_says_where_and_what(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(JsonMistake) as caught:
        read_json(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in caught.value.what


def test_knows_the_line_of_each_key(tmp_path: Path) -> None:
    file = tmp_path / "task.json"
    file.write_text('{\n "containers": [\n  {"name": "a"},\n  {\n   "name": "b"}\n ]\n}')
    document = read_document(file)
    assert document.where(("containers", 1, "name")) == f"{file}:5 (containers[1].name)"
    assert document.where(("containers", 1, "missing")) == f"{file}:4 (containers[1].missing)"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "expected ',' or ']'"),
        ("a: 1\na: 2\n", 2, "stands twice"),
        ("a:\n\tb: 1\n", 2, "cannot start any token"),
        ("a: !!python/object:os.system x\n", 1, "could not determine a constructor"),
    ],
)
def test_yaml_mistakes_have_a_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    file = tmp_path / "hikkoshi.yaml"
    file.write_text(text)
    with pytest.raises(BadInput) as caught:
        read_document(file)
    assert words in caught.value.what
    assert f"{file}:{line}" in str(caught.value.where)


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "ecs-task-def.json").write_text("{}")
    with pytest.raises(BadInput) as caught:
        read_document(tmp_path / "ecs-taskdef.json", named_by="hikkoshi.yaml")
    assert "hikkoshi.yaml names" in caught.value.what
    assert "ecs-task-def.json" in str(caught.value.fix)


def test_a_few_aliases_that_stand_for_billions_of_items(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(BadInput, match="aliases counted each time"):
        read_document(path)


def test_yaml_nested_beyond_all_reason(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("[" * 20_000)
    with pytest.raises(BadInput, match=r"deep\.yaml: not YAML: maximum recursion depth"):
        read_document(path)
