"""vegeta's forms in and out: against what vegeta itself wrote, and against vegeta where it is."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.load import load
from hikkoshi.load.failures import CODE_OF, Failure
from hikkoshi.load.results import ResultWriter
from hikkoshi.load.vegeta.gob import read_gob
from hikkoshi.load.vegeta.metrics import metrics_of
from hikkoshi.load.vegeta.reading import form_of, read_hits
from hikkoshi.load.vegeta.reports import edges_of, go_duration, hist_report, rounded, text_report
from hikkoshi.load.vegeta.text import write_json

SAMPLES = Path(__file__).parent / "samples"
FORMS = ("gob", "csv", "json")
BUCKETS = "[0,1ms,2ms,5ms]"
# vegeta estimates percentiles by a t-digest; ours are exact to 0.1 %. Of a hundred requests the
# two may lie one request apart.
ESTIMATED = ("50th", "90th", "95th", "99th")


def run_load(path: Path, count: int = 20_000) -> Path:
    """Results as the generator writes them: latencies rise evenly, every tenth fails."""
    targets = [["GET", "http://h/a,b", "a"], ["POST", 'http://h/"q"', "q"]]
    header = {"t_start": 1_700_000_000.25, "trial": "t", "duration_s": count / 1000,
              "pacer": {"stages": [[1000.0, 1000.0, count / 1000]]}, "targets": targets,
              "attack": "ours"}  # fmt: skip
    writer = ResultWriter(path, header)
    reset = CODE_OF[Failure.CONNECTION_RESET]
    writer.extend(
        (0, reset if seq % 10 == 0 else 0, 0 if seq % 10 == 0 else (200, 404)[seq % 3 == 0],
         seq % 2, seq, seq / 1000, seq / 1000, seq / 1000 + (1 + seq * 7919 % count) * 1e-6, 48,
         seq % 2 * 10, 0.0, 0, 0, seq % 10 != 0 and seq % 3 != 0)
        for seq in range(count)
    )  # fmt: skip
    writer.close()
    return path


def without_estimates(report: dict[str, Any]) -> dict[str, Any]:
    latencies = {k: v for k, v in report["latencies"].items() if k not in ESTIMATED}
    return {**report, "latencies": latencies, "errors": sorted(report["errors"])}


@pytest.mark.parametrize("form", FORMS)
def test_what_vegeta_wrote_gives_what_vegeta_reported(form: str) -> None:
    path = SAMPLES / f"vegeta.{form}"
    assert form_of(path) == form
    found = metrics_of([path], edges_of(BUCKETS))
    truth = json.loads((SAMPLES / "vegeta-report.json").read_text())
    mine = json.loads(json.dumps(found.as_json()))
    # vegeta's own JSON gives each bucket's number under the bucket's lower bound.
    assert without_estimates(mine) == without_estimates(truth)
    ordered = sorted(hit.latency_ns for hit in read_hits(path))
    for key, share in zip(ESTIMATED, (0.5, 0.9, 0.95, 0.99), strict=True):
        at = int(share * len(ordered))
        low, high = ordered[max(0, at - 2)], ordered[min(len(ordered) - 1, at + 2)]
        assert low * 0.999 <= mine["latencies"][key] <= high * 1.001
        assert low * 0.999 <= truth["latencies"][key] <= high * 1.001


def test_the_text_forms_are_vegetas_to_the_letter() -> None:
    metrics = metrics_of([SAMPLES / "vegeta.gob"], edges_of(BUCKETS))
    assert (
        "".join(f"{line}\n" for line in hist_report(metrics))
        == (SAMPLES / "vegeta-hist.txt").read_text()
    )
    mine, truth = list(text_report(metrics)), (SAMPLES / "vegeta-report.txt").read_text()
    assert [line for line in mine if "Latencies" not in line] == [
        line for line in truth.splitlines() if "Latencies" not in line
    ]
    (latencies,) = [line for line in mine if "Latencies" in line]
    (true_latencies,) = [line for line in truth.splitlines() if "Latencies" in line]
    assert latencies.split("]")[0] == true_latencies.split("]")[0]
    for place in (0, 1, 6):
        assert (
            latencies.split("]  ")[1].split(", ")[place]
            == (true_latencies.split("]  ")[1].split(", ")[place])
        )


def test_the_three_forms_tell_the_same() -> None:
    gob, table, lines = (list(read_hits(SAMPLES / f"vegeta.{form}")) for form in FORMS)
    assert gob == lines
    assert [hit._replace(headers=None) for hit in table] == [
        hit._replace(headers=None) for hit in gob
    ]
    assert len(gob) == 100 and {hit.code for hit in gob} == {0, 200, 404}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_encoded_is_read_again(form: str, tmp_path: Path) -> None:
    ours = run_load(tmp_path / "r.load", 300)
    out = tmp_path / "out"
    for source in (ours, SAMPLES / "vegeta.gob"):
        done = CliRunner().invoke(load, ["encode", str(source), "--to", form, "-o", str(out)])
        assert done.exit_code == 0, done.output
        assert form_of(out) == form
        assert list(read_hits(out)) == list(read_hits(source))


@pytest.mark.parametrize("form", FORMS)
def test_vegeta_itself_reads_ours_with_the_same_figures(form: str, tmp_path: Path) -> None:
    if shutil.which("vegeta") is None:
        pytest.skip("vegeta is not installed (go install github.com/tsenart/vegeta/v12@latest)")
    ours, out = run_load(tmp_path / "r.load"), tmp_path / "out"
    done = CliRunner().invoke(load, ["encode", str(ours), "--to", form, "-o", str(out)])
    assert done.exit_code == 0, done.output
    told = subprocess.run(
        ["vegeta", "report", "-type=json", f"-buckets={BUCKETS}", str(out)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    truth = json.loads(told.stdout)
    mine = json.loads(
        CliRunner()
        .invoke(load, ["report", str(ours), "--type", "json", "--buckets", BUCKETS])
        .stdout
    )
    assert without_estimates(mine) == without_estimates(truth)
    for key in ESTIMATED:
        assert mine["latencies"][key] == pytest.approx(truth["latencies"][key], rel=0.002)


def test_ours_and_vegetas_have_a_summary_and_a_plot(tmp_path: Path) -> None:
    ours = run_load(tmp_path / "a.load", 2000)
    found = CliRunner().invoke(load, ["report", str(SAMPLES / "vegeta.csv")])
    assert found.exit_code == 1, "two thirds of its requests failed"
    assert "requests    100" in found.stdout and "do not tell how late" in found.stdout
    page = tmp_path / "plot.html"
    done = CliRunner().invoke(
        load, ["plot", str(ours), str(SAMPLES / "vegeta.gob"), "-o", str(page),
               "--title", "</script><script>alert(1)"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "alert(1)" in text and "</script><script>alert" not in text
    assert "http://" not in text and "https://" not in text and "src=" not in text
    data = json.loads(text.split("const DATA = ")[1].split(";\n")[0])
    assert [(run["name"], run["requests"]) for run in data["runs"]] == [
        ("ours", 2000), ("recorded", 100),
    ]  # fmt: skip
    assert sum(row[1] for row in data["runs"][0]["rows"]) * 0.1 == pytest.approx(2000)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a results file"),
        (b"{}\n", "1: not a result of vegeta"),
        (b'{"code": 200, "timestamp": "yesterday", "latency": 1}\n', "not a time"),
        (b"1,200,3\n", "1: not a result of vegeta: 3 columns"),
        (b"\x20\x7f\x03\x01\x01\x06Result\x01\xff\x80" + bytes(24), "message"),
    ],
)
def test_what_is_no_result_is_named(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(data)
    found = CliRunner().invoke(load, ["report", str(tmp_path / "f"), "--type", "json"])
    assert found.exit_code == 2, found.output
    assert words in found.stderr


def test_a_torn_gob_gives_what_is_whole() -> None:
    data = (SAMPLES / "vegeta.gob").read_bytes()
    assert len(list(read_gob(io.BytesIO(data[:-7]), "f"))) == 99
    with pytest.raises(BadInput, match="not a result"):
        list(read_gob(io.BytesIO(data + b"\x03\x02\x00\x00"), "f"))
    out = io.StringIO()
    assert write_json([], out) == 0


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0s"), (999, "999ns"), (1500, "1.5µs"), (7_534_263, "7.534ms"), (1_990_000_000, "1.99s"),
     (61_500_000_000, "1m2s"), (3_723_000_000_000, "1h2m0s")],
)  # fmt: skip
def test_durations_are_written_as_go_writes_them(nanoseconds: int, text: str) -> None:
    assert go_duration(rounded(nanoseconds)) == text
