"""Edits of JSON text: what is not edited stays to the byte, and `patch` applies the diff."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hikkoshi.tuning.patch import edit_json, unified_diff

TEXT = """{
  "family": "a\\u00e9 \\"}{,",  "cpu" : "256",
  "containerDefinitions": [
    { "name": "one", "ports": [] },
    {
      "name": "two", "nested": { "x": [1, {"y": 2}] },
      "ulimits": [{ "name": "nofile", "softLimit": 1, "hardLimit": 2 }]
    }
  ],
  "empty": {}
}
"""


@pytest.mark.parametrize(
    ("path", "value", "old", "new"),
    [
        (("cpu",), "512", '"cpu" : "256"', '"cpu" : "512"'),
        (
            ("containerDefinitions", 1, "ulimits", 0, "softLimit"), 9,
            '"softLimit": 1', '"softLimit": 9',
        ),
        (
            ("containerDefinitions", 0, "stopTimeout"), 30,
            '"ports": [] }', '"ports": [], "stopTimeout": 30 }',
        ),
        (("memory",), "1024", '"empty": {}\n', '"empty": {},\n  "memory": "1024"\n'),
        (("empty", "k"), True, '"empty": {}', '"empty": { "k": true }'),
        (("containerDefinitions", 1, "nested", "x", 1, "y"), None, '{"y": 2}', '{"y": null}'),
    ],
)  # fmt: skip
def test_one_value_changes_and_nothing_else(path, value, old, new) -> None:
    assert TEXT.count(old) == 1
    assert edit_json(TEXT, [(path, value)]) == TEXT.replace(old, new)


def test_wrapped_documents_marks_and_line_ends_are_kept() -> None:
    wrapped = '\ufeff{"taskDefinition": {\r\n  "cpu": "256"\r\n}}'
    edited = edit_json(wrapped, [(("cpu",), "512"), (("memory",), "1024")])
    assert edited == ('\ufeff{"taskDefinition": {\r\n  "cpu": "512",\r\n  "memory": "1024"\r\n}}')


def test_a_path_that_leads_nowhere_is_refused() -> None:
    for path in (("no", "such"), ("containerDefinitions", 5, "x"), ("cpu", "x")):
        with pytest.raises(KeyError):
            edit_json(TEXT, [(path, 1)])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), _JSON, max_size=4), st.text(), _JSON, st.sampled_from([None, 2]))
def test_any_document_is_edited_as_a_dictionary_would_be(document, key, value, indent) -> None:
    whole = {"first": 1, **document}  # so that it is never one of the wrapped ones
    text = json.dumps(whole, indent=indent)
    assert json.loads(edit_json(text, [((key,), value)])) == {**whole, key: value}


def test_patch_applies_the_diff(tmp_path: Path) -> None:
    program = shutil.which("patch") or shutil.which("git")
    if program is None:
        pytest.skip("neither patch nor git is here")
    new = edit_json(TEXT.rstrip("\n"), [(("cpu",), "512")])
    (tmp_path / "t.json").write_text(TEXT.rstrip("\n"))
    arguments = ["-p1"] if program.endswith("patch") else ["apply", "-"]
    subprocess.run(
        [program, *arguments], input=unified_diff("t.json", TEXT.rstrip("\n"), new), text=True,
        cwd=tmp_path, check=True, timeout=20,
    )  # fmt: skip
    assert (tmp_path / "t.json").read_text() == new
