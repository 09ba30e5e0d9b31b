"""The rules of lint by name: what each is about. The names are what SARIF and `--ignore` carry."""

from __future__ import annotations

from hikkoshi.lint.complaint import Severity

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

RULES: dict[str, tuple[Severity, str]] = {
    "cannot-be-read": (ERROR, "The file is not there, too large, or not text."),
    "is-not-json": (ERROR, "Not JSON: a comma is missing, or stands where none belongs, …"),
    "is-not-yaml": (ERROR, "Not YAML."),
    "is-of-no-known-kind": (ERROR, "None of the kinds of file that lint knows."),
    "aws-has-no-such-key": (ERROR, "A key or value that is not in AWS's shape of the document."),
    "is-refused-by-fargate": (ERROR, "RegisterTaskDefinition refuses it for Fargate."),
    "swaps-the-firelens-roles": (
        ERROR,
        "firelensConfiguration belongs on the log router, awsfirelens on whoever logs to it. "
        "AWS takes it the other way round too, and no line is ever delivered.",
    ),
    "is-refused-by-hikkoshi": (ERROR, "hikkoshi.yaml, or what it names, does not fit together."),
    "is-refused-by-fluent-bit": (ERROR, "Fluent Bit would not start with this file."),
    "is-not-interpreted-here": (
        NOTE,
        "Fluent Bit may take it; the built-in router does not, so it is not checked.",
    ),
    "is-matched-by-nothing": (
        WARNING,
        "An output or filter whose Match fits no tag that this file or FireLens gives.",
    ),
    "delivers-each-line-twice": (
        WARNING,
        "An output in the router's own file matches the application's lines, and the task "
        "definition's log options make another one.",
    ),
    "sidecar-is-essential": (
        WARNING,
        "When this sidecar ends, the whole task ends, and the application with it.",
    ),
    "has-no-log-configuration": (
        WARNING,
        "On Fargate the lines of a container without logConfiguration are kept nowhere.",
    ),
    "keeps-a-secret-in-the-open": (
        WARNING,
        "A value that looks secret stands in the environment, readable to all who can describe "
        "the task definition.",
    ),
    "names-an-image-that-moves": (
        WARNING,
        "The tag `latest`, or none: two tasks of one revision may run different images, and a "
        "rollback may not roll back.",
    ),
    "has-no-health-check": (
        NOTE,
        "Neither a load balancer nor a healthCheck tells ECS that the application is well.",
    ),
    "deploys-without-a-circuit-breaker": (
        WARNING,
        "A deploy that never becomes healthy starts tasks for ever; nothing rolls it back.",
    ),
    "lets-a-deploy-stop-everything": (
        WARNING,
        "minimumHealthyPercent 0: a deploy may stop every task before a new one runs.",
    ),
    "gives-no-time-to-start": (
        NOTE,
        "No healthCheckGracePeriodSeconds: a task that starts slowly is killed and started again.",
    ),
}
