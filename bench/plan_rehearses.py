"""The old genba host, live: surveyed over ssh, planned, and rehearsed beside the files by hand.

    .venv/bin/python bench/plan_rehearses.py [--quick] [--only TRIAL,…] [--keep DIRECTORY]

The host of tests/survey/live_host.py (the genba tree in namespaces of its own, its program
running, an sshd on loopback) goes the whole way: `survey --host ssh://`, `plan`, `rehearse`. Then
examples/genba/before, written by hand, is rehearsed with the same trials. The findings of both
stand side by side. Exit code 1 when one has a fact that the other has not; 3 without sshd.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "survey"))

import live_host  # noqa: E402 (it lies beside the tests)

HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")
BEFORE = HERE.parent / "examples" / "genba" / "before"
REHEARSAL_S = 900
"""A whole one is 150 s on an idle machine; ended in order (SIGTERM) when it takes longer."""


def run(*words: object, cwd: Path, timeout: float, codes: tuple[int, ...] = (0,)) -> str:
    """What it printed. Says what it wrote on stderr when it ended otherwise."""
    with subprocess.Popen(
        [HIKKOSHI, *map(str, words)], cwd=cwd, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.terminate()
            print(process.communicate(timeout=60)[1][-3000:], file=sys.stderr)
            raise
    if process.returncode not in codes:
        raise SystemExit(f"hikkoshi {words[0]}: exit {process.returncode}\n{err[-3000:]}")
    return out


def planned(place: Path) -> Path:
    """The plan of the live host. The host has ended before anything is rehearsed."""
    with live_host.live_host(place):
        run("survey", "--host", "ssh://genba", "--ssh-config", "ssh_config", "--window", 3,
            cwd=place, timeout=120)  # fmt: skip
    run("plan", "survey.json", "-o", "home", "--yes", cwd=place, timeout=60)
    return place / "home"


def rehearsed(home: Path, only: str, is_quick: bool) -> dict[str, Any]:
    """The verdict document; its region has ended."""
    words = ["rehearse", home, "--json", *(["--quick"] if is_quick else [])]
    words += ["--only", only] if only else []
    try:
        verdict: dict[str, Any] = json.loads(
            run(*words, cwd=home.parent, timeout=REHEARSAL_S, codes=(0, 1))
        )
    finally:
        subprocess.run([HIKKOSHI, "down", home], capture_output=True, timeout=60)
    return verdict


def certainties(verdict: Mapping[str, Any]) -> dict[str, str]:
    """rule → the firmest certainty with which it was found."""
    order = ("fact", "likely", "hint")
    found: dict[str, str] = {}
    for finding in verdict["judgement"]["findings"]:
        before = found.get(finding["rule"], order[-1])
        found[finding["rule"]] = min(before, finding["certainty"], key=order.index)
    return found


def show(by_hand: Mapping[str, Any], by_plan: Mapping[str, Any]) -> bool:
    """Whether both have the same facts."""
    hand, plan = certainties(by_hand), certainties(by_plan)
    print("| finding | written by hand | by plan |\n|---|---|---|")
    for rule in sorted({*hand, *plan}, key=lambda r: (hand.get(r, "~"), r)):
        print(f"| {rule} | {hand.get(rule, '–')} | {plan.get(rule, '–')} |")
    print("\n| trial | written by hand | by plan |\n|---|---|---|")
    outcomes = [{t["name"]: t["outcome"] for t in v["trials"]} for v in (by_hand, by_plan)]
    for name in dict.fromkeys([*outcomes[0], *outcomes[1]]):
        print(f"| {name} | {outcomes[0].get(name, '–')} | {outcomes[1].get(name, '–')} |")
    facts = [{r for r, c in found.items() if c == "fact"} for found in (hand, plan)]
    print(f"\nfacts: {len(facts[0])} by hand, {len(facts[1])} by plan, "
          f"{len(facts[0] & facts[1])} the same; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    return facts[0] == facts[1]


def main() -> int:
    said = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    said.add_argument("--quick", action="store_true", help="shorter trials")
    said.add_argument("--only", default="", metavar="TRIAL,…")
    said.add_argument("--keep", type=Path, metavar="DIRECTORY", help="copy the plan's home there")
    asked = said.parse_args()
    if live_host.SSHD is None or shutil.which("ssh") is None:
        print("not tried: no sshd and ssh here (apt-get install openssh-server)", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory(prefix="plan-rehearses-") as scratch:
        home = planned(Path(scratch))
        by_plan = rehearsed(home, asked.only, asked.quick)
        if asked.keep is not None:
            shutil.copytree(home, asked.keep, symlinks=True, dirs_exist_ok=True)
        before = Path(scratch) / "before"
        shutil.copytree(BEFORE, before, ignore=shutil.ignore_patterns(".hikkoshi"))
        by_hand = rehearsed(before, asked.only, asked.quick)
    return 0 if show(by_hand, by_plan) else 1


if __name__ == "__main__":
    sys.exit(main())
