"""A CDK app, checked without an account: synth with cdk-nag's rules, then cfn-lint."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput, CannotRun

_EXTRA = {"aws_cdk": "aws-cdk-lib", "cdk_nag": "cdk-nag", "cfnlint": "cfn-lint"}
SYNTH_DEADLINE_S = 300
LINT_DEADLINE_S = 300
DUMMY_ACCOUNT = "000000000000"
CFN_LINT = (sys.executable, "-c", "import sys; from cfnlint.runner import main; sys.exit(main())")
"""Of this environment. Its package cannot be run by `-m`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach. tool: synth, cdk-nag or cfn-lint. level: error, warning or info.

    where: the file to open; construct: the resource in it, by CDK path or logical id."""

    tool: str
    rule: str
    level: str
    what: str
    where: str
    construct: str
    cure: str


@dataclass(frozen=True, slots=True)
class Checked:
    stacks: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not any(finding.level == "error" for finding in self.findings)


def find_app(directory: Path, inside: str = "cdk") -> Path:
    """The app's directory: DIR itself, or the one inside a project. Raises BadInput."""
    for candidate in (directory, directory / inside):
        if (candidate / "cdk.json").is_file() and (candidate / "app.py").is_file():
            return candidate
    raise BadInput(
        f"there is no CDK app (app.py with cdk.json) in {directory}, nor in {directory / inside}",
        fix=f"write one: hikkoshi iac {directory} -o {directory / inside}",
    )


def what_is_missing() -> list[str]:
    """What this machine lacks for the check, each with how to get it."""
    lacks = [name for module, name in _EXTRA.items() if importlib.util.find_spec(module) is None]
    missing = []
    if lacks:
        missing.append(
            f"{', '.join(lacks)} (about 600 MB): pip install 'hikkoshi[iac]', or in a clone of "
            "hikkoshi: make iac"
        )
    if shutil.which("node") is None:
        missing.append("Node, which runs the CDK: https://nodejs.org, or apt-get install nodejs")
    return missing


def check_app(app: Path, output: Path) -> Checked:
    """Synthesise into `output` and judge. Raises CannotRun when the machine lacks something."""
    missing = what_is_missing()
    if missing:
        raise CannotRun("the check needs what is not installed here", fix="\n       ".join(missing))
    notes: list[str] = []
    result = _synth(app, output, account=None)
    if result.returncode != 0 and "context provider" in result.stderr:
        notes.append(
            "what is looked up in the account (the VPC) was played with the CDK's dummy values"
        )
        result = _synth(app, output, account=DUMMY_ACCOUNT)
    reports = _nag_reports(output)
    nag = [] if reports is None else list(nag_findings(reports, app))
    templates = sorted(output.glob("*.template.json"))
    if result.returncode != 0 and not nag:
        return Checked((), (_synth_finding(app, result.stderr),), tuple(notes))
    lint = _lint(templates, app)
    stacks = tuple(path.name.removesuffix(".template.json") for path in templates)
    return Checked(stacks, (*nag, *lint), tuple(notes))


def _synth(app: Path, output: Path, account: str | None) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value
        for key, value in os.environ.items()
        # The check asks no account, whoever is logged in.
        if not key.startswith(("AWS_", "CDK_"))
    }
    environment |= {
        "CDK_OUTDIR": str(output),
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
        "JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION": "1",
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    context = json.loads((app / "cdk.json").read_text("utf-8")).get("context", {})
    environment["CDK_CONTEXT_JSON"] = json.dumps(context)
    if account is not None:
        environment["CDK_DEFAULT_ACCOUNT"] = account
    try:
        return subprocess.run(
            [sys.executable, "app.py"],
            cwd=app,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SYNTH_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"the synth was not done within {SYNTH_DEADLINE_S} s") from error


def _nag_reports(output: Path) -> Any:
    path = output / "validation-report.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def nag_findings(report: Mapping[str, Any], app: Path) -> Iterator[Finding]:
    """The violations of a validation report of the CDK."""
    for plugin in report.get("pluginReports", ()):
        for violation in plugin.get("violations", ()):
            rule = str(violation["ruleName"])
            for construct in violation.get("violatingConstructs", ()):
                path = str(construct.get("constructPath") or construct.get("resourceLogicalId"))
                yield Finding(
                    tool="cdk-nag",
                    rule=rule,
                    level=str(violation.get("severity") or "error").lower(),
                    what=str(violation.get("description", "")).strip(),
                    where=str(file_of(app, path)),
                    construct=path,
                    cure=str(violation.get("fix") or "")
                    or f'mend it, or say why not: acknowledge(…, "{rule}", because="…")',
                )


def file_of(app: Path, construct: str) -> Path:
    """The source in which a construct is most likely made: its stack's, by the name it ends in,
    or the file of the construct inside it. app.py when none fits."""
    stack, _, rest = construct.partition("/")
    words = [_snake(part) for part in rest.split("/")[:1]] + [stack.rpartition("-")[2]]
    for word in words:
        candidate = app / "stacks" / f"{word}.py"
        if candidate.is_file():
            return candidate
    return app / "app.py"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _synth_finding(app: Path, stderr: str) -> Finding:
    """The last line of a traceback, and the last line of it that is the app's own."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    own = [
        (match[1], match[2])
        for match in re.finditer(r'File "([^"]+)", line (\d+)', stderr)
        if Path(match[1]).is_relative_to(app.resolve()) or not Path(match[1]).is_absolute()
    ]
    where = f"{own[-1][0]}:{own[-1][1]}" if own else str(app / "app.py")
    what = lines[-1].strip()[:500] if lines else "the app ended without a word"
    return Finding(
        "synth", "synth", "error", what, where, "", "mend the app; python3 app.py shows all"
    )


def _lint(templates: list[Path], app: Path) -> list[Finding]:
    if not templates:
        return []
    result = subprocess.run(
        [*CFN_LINT, "--format", "json", *map(str, templates)],
        capture_output=True,
        text=True,
        timeout=LINT_DEADLINE_S,
        check=False,
    )
    return [_lint_finding(match, app) for match in lint_matches(result)]


def lint_matches(result: subprocess.CompletedProcess[str]) -> list[Mapping[str, Any]]:
    """CannotRun if it did not judge at all. It ends with a sum of 2 (errors), 4 (warnings) and 8
    (informational), and with 1 for what has gone wrong with itself; where it has judged it prints a
    list, which may be empty."""
    try:
        matches = json.loads(result.stdout)
        if result.returncode & 1 or not isinstance(matches, list):
            raise ValueError(f"exit code {result.returncode}")
    except ValueError as error:
        said = result.stderr.strip()[-500:] or f"it said nothing, exit code {result.returncode}"
        raise CannotRun(
            f"cfn-lint did not judge the templates: {said}",
            fix="pip install 'hikkoshi[iac]' again, or in a clone of hikkoshi: make iac",
        ) from error
    return matches


def _lint_finding(match: Mapping[str, Any], app: Path) -> Finding:
    template = Path(match["Filename"])
    path = [str(part) for part in match["Location"].get("Path") or ()]
    resource = path[1] if path[:1] == ["Resources"] and len(path) > 1 else "/".join(path)
    construct = _construct_path(template, resource) or resource
    line = match["Location"]["Start"]["LineNumber"]
    return Finding(
        tool="cfn-lint",
        rule=str(match["Rule"]["Id"]),
        level=str(match["Level"]).lower().replace("informational", "info"),
        what=str(match["Message"]),
        where=str(file_of(app, construct)) if "/" in construct else f"{template.name}:{line}",
        construct=construct,
        cure=f"{match['Rule']['ShortDescription']}: {match['Rule']['Source']}",
    )


def _construct_path(template: Path, resource: str) -> str | None:
    document = json.loads(template.read_text("utf-8"))
    metadata = document.get("Resources", {}).get(resource, {}).get("Metadata", {})
    path = metadata.get("aws:cdk:path")
    return str(path) if path else None
