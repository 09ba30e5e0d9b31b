"""AWS's own SDK for Node, as a program with its default settings: UDP, TCP, the root's header."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from xray_house import Api, StartSidecar, wait_until

ROOT = "1-5759e988-bd862e3fe1be46a994272793"
PROGRAM = """
const xray = require('aws-xray-sdk-core');
const root = xray.utils.processTraceData(process.env.HEADER);
// Rules are asked for over TCP 2000; a name that only the daemon's answer can decide.
setTimeout(() => {
  const segment = new xray.Segment('genba-node', root.root, root.parent);
  xray.getNamespace().run(() => {
    xray.setSegment(segment);
    for (let i = 0; i < 120; i++) {
      const sub = segment.addNewSubsegment('db');
      sub.namespace = 'remote';
      sub.addSqlData({ sanitized_query: 'SELECT ' + i });
      sub.close();
    }
    const broken = segment.addNewSubsegment('broken');
    broken.close(new Error('planted'));
    segment.close();
    setTimeout(() => process.exit(0), 500);
  });
}, 1000);
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not here: the SDK for Node is NOT TRIED")
    place = tmp_path_factory.mktemp("node")
    (place / "package.json").write_text("{}")
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--prefer-offline", "aws-xray-sdk-core@3"],
        cwd=place, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"npm could not fetch aws-xray-sdk-core: NOT TRIED: {done.stderr[-300:]}")
    return place


@pytest.mark.slow
def test_the_sdk_for_node_delivers_every_span(
    api: Api, start_sidecar: StartSidecar, package: Path
) -> None:
    sidecar = start_sidecar(api.endpoint)
    done = subprocess.run(
        ["node", "-e", PROGRAM], cwd=package, capture_output=True, text=True, timeout=60,
        check=False,
        env={**os.environ, "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{sidecar.xray}",
             "HEADER": f"Self=1-67891234-12456789abcdef012345678;Root={ROOT};Sampled=1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(api.rows.of("spans")) >= 122, "the SDK's spans arrived")
    rows = api.rows.of("spans")
    assert {row["trace_id"] for row in rows} == {ROOT}
    assert len({row["span_id"] for row in rows}) == len(rows) == 122
    (root,) = [row for row in rows if row["name"] == "genba-node"]
    queries = [row for row in rows if row["sql"]]
    assert sorted(int(row["sql"].split()[1]) for row in queries) == list(range(120))
    assert {row["parent_id"] for row in queries} == {root["span_id"]}
    (broken,) = [row for row in rows if row["name"] == "broken"]
    assert broken["fault"]
    code, log = sidecar.stop()
    assert code == 0 and " 0 rejected, 0 dropped" in log, json.dumps(log)
