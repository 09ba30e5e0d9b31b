"""A survey into a plan: choices in their order, then the files that follow from them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from hikkoshi.base.errors import BadInput
from hikkoshi.model.survey import Survey
from hikkoshi.plan import documents
from hikkoshi.plan import front as front_
from hikkoshi.plan.account import instance_count, network
from hikkoshi.plan.application import Chosen, choose_application
from hikkoshi.plan.choice import Notebook, Planned
from hikkoshi.plan.environment import plan_environment
from hikkoshi.plan.fluent_bit import PARSERS
from hikkoshi.plan.front import plan_front
from hikkoshi.plan.image import ROOT, plan_image, runtime
from hikkoshi.plan.leftovers import find_leftovers
from hikkoshi.plan.logs import translate
from hikkoshi.plan.moving import write_moving
from hikkoshi.plan.size import choose_nofile, choose_size
from hikkoshi.plan.tracing import capture, find_traces
from hikkoshi.plan.traffic import BODIES, plan_traffic

_UNKNOWN_SUBNET = "subnet-00000000000000000"
_UNKNOWN_GROUP = "sg-00000000000000000"
_EXAMPLE_ACCOUNT = "111122223333"
"""The account that AWS's own documentation uses."""
_COMMENTS = {
    "task_definition": "Written by hikkoshi plan; MOVING.md says why. What AWS has no word for.",
    "secrets": "Values for the rehearsal only. {user}, {password}, {endpoint}, {port} and {name} "
    "are the database's.",
    "limits": "What must hold at that rate.",
    "bad_deploy": "How the bad deploy is made bad: the load balancer asks where no one listens.",
    "old_home": "The service as it runs on EC2, to be set beside the new home.",
}


def make_plan(survey: Survey, notebook: Notebook) -> Planned:
    """BadInput: nothing to plan from, or an answer that fits no question."""
    host = survey.host
    if host is None:
        raise BadInput(
            "this survey has no host: there is nothing to make a container of",
            fix="survey the instance too: hikkoshi survey --host ssh://user@host --account",
        )
    chosen = choose_application(survey, notebook)
    place = _place(survey, chosen, notebook)
    environment = plan_environment(chosen.name, chosen.unit, host, survey.account, notebook)
    traces, because = find_traces(host, chosen.unit)
    traces = notebook.note("traces", traces or "none", because).replace("none", "")
    front = plan_front(host, chosen, notebook)
    if front is not None:
        chosen = replace(chosen, speaks_http=True)
    sidecars = 1 + bool(traces) + (front is not None)
    size = choose_size(host, chosen.unit, sidecars, notebook)
    nofile = choose_nofile(host, chosen.unit, notebook)
    image = plan_image(chosen, host, notebook, front)
    captured, why = capture(runtime(chosen), chosen.unit, chosen.command, chosen.files)
    told = [*image.told, *([why] if why else [])]
    router = translate(chosen.name, chosen.unit, host.configurations, place.region, notebook)
    traffic = plan_traffic(chosen.name, host.access_logs, chosen.health_path, notebook)
    schema, copies = _schema(chosen, environment.database is not None, notebook)
    reasons = list(image.reasons_not)
    more = {**image.environment, **captured}
    task = documents.task_definition(
        chosen, place, size, nofile, environment, router, traces, more, front
    )
    settings = documents.settings(
        chosen, place, image, environment, router, traffic, schema,
        front, {} if front is None else front_.embedded(front, host),
    )  # fmt: skip
    others = [
        unit for unit in host.units
        if unit.name != chosen.unit.name and unit.name.endswith(".service") and unit.commands
        and (unit.is_enabled or unit.is_active)
        and (_is_known_agent(unit.name) or any(a.unit == unit.name for a in host.applications))
    ]  # fmt: skip
    leftovers = find_leftovers(host, chosen, others, told, image.undone, front)
    notebook.refuse_unknown((BODIES, "schema"))
    files = {
        "ecs-task-def.json": _json(task),
        "ecs-service-def.json": _json(documents.service_definition(chosen, place, front)),
        "hikkoshi.yaml": documents.to_yaml(settings, _COMMENTS),
        "Dockerfile": image.dockerfile,
        ".dockerignore": "*\n!rootfs\n!rootfs/**\n",
        "log-router/Dockerfile": _router_dockerfile(bool(router.parsers)),
        "log-router/application.conf": router.text(
            f"What becomes of {chosen.name}'s log lines, translated by hikkoshi plan.\n"
            "ECS writes the inputs and its metadata around this file. MOVING.md: what differs."
        ),
        **image.made,
    }
    if front is not None:
        files[f"{front.name}/Dockerfile"] = front_.dockerfile(front, host)
        files |= {f"{front.name}{path}": text for path, text in front.files.items()}
        copies |= front.copies
    if chosen.speaks_http:
        files |= {"targets.http": traffic.targets, "synthetic.yaml": traffic.synthetic}
        files |= traffic.files
    if router.parsers:
        files["log-router/parsers.conf"] = router.parsers_text()
    files["MOVING.md"] = write_moving(
        survey, chosen, notebook.choices, environment, router, traffic, leftovers, reasons
    )
    return Planned(
        chosen.name,
        files,
        {**image.copies, **copies},
        tuple(notebook.choices),
        not reasons,
        tuple(reasons),
    )


def _is_known_agent(name: str) -> bool:
    return bool(re.match(r"^(?:td-agent|fluent|rsyslog|amazon-cloudwatch|awslogs|xray|aws-xray|"
                         r"aws-otel|codedeploy|datadog|newrelic|mackerel|zabbix|postfix|exim|redis|"
                         r"memcached|mysql|mariadb|postgresql|nginx|apache2|httpd|haproxy)",
                         name))  # fmt: skip


def _place(survey: Survey, chosen: Chosen, notebook: Notebook) -> documents.Place:
    account = survey.account
    if account is not None and account.region:
        region = notebook.note("region", account.region, "the account was surveyed there")
    else:
        default = _region_of(survey) or "ap-northeast-1"
        region = notebook.question("region", "Which AWS region?", default,
                                   "a name on the host has it" if _region_of(survey) else
                                   "the account was not surveyed")  # fmt: skip
    if account is not None and account.account_id:
        number = notebook.note("account", account.account_id, "the account that was surveyed")
    else:
        number = notebook.question("account", "Which AWS account (12 digits)?", _EXAMPLE_ACCOUNT,
                                   "an example's number: the account was not surveyed")  # fmt: skip
    if not re.fullmatch(r"\d{12}", number) or not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region):
        raise BadInput(f"{number!r} in {region!r} is no account and region of AWS",
                       where="answers: account, region")  # fmt: skip
    subnets, groups = network(account)
    why = "the instances are there" if subnets else "the account was not surveyed: fill it in"
    decide = notebook.note if subnets else None
    if decide is not None:
        said_subnets = notebook.note("subnets", ",".join(subnets), why)
        said_groups = notebook.note("security_groups", ",".join(groups) or _UNKNOWN_GROUP, why)
    else:
        said_subnets = notebook.question("subnets", "Which subnets (private ones)?",
                                         _UNKNOWN_SUBNET, why)  # fmt: skip
        said_groups = notebook.question("security_groups", "Which security groups?",
                                        _UNKNOWN_GROUP, why)  # fmt: skip
    seen = instance_count(account)
    if seen:
        count = notebook.note("tasks", str(seen), "as many as instances serve today")
    else:
        count = notebook.question("tasks", "How many tasks?", "2", "two outlive the loss of one")
    if not count.isdigit() or not 0 < int(count) <= 1000:
        raise BadInput(f"{count!r} is no number of tasks", where="answers: tasks")
    cluster = notebook.note("cluster", chosen.name, "a cluster of its own is the easiest to remove")
    return documents.Place(
        region, number, cluster, tuple(said_subnets.split(",")), tuple(said_groups.split(",")),
        int(count),
    )  # fmt: skip


def _region_of(survey: Survey) -> str:
    """Of an RDS or other AWS name in the units' environment, or an agent's configuration."""
    host = survey.host
    assert host is not None
    texts = [value for unit in host.units for value in unit.environment.values()]
    texts += [" ".join(command) for unit in host.units for command in unit.commands]
    for text in texts:
        match = re.search(r"\b([a-z]{2}-(?:north|south|east|west|central)[a-z]*-\d)\b", text)
        if match:
            return match[1]
    return ""


def _schema(
    chosen: Chosen, has_database: bool, notebook: Notebook
) -> tuple[tuple[str, ...], dict[str, str]]:
    """(schema files as hikkoshi.yaml names them, nothing more to copy)."""
    if not has_database:
        return (), {}
    found = tuple(f"{ROOT}{path}" for path in chosen.files.schemas)
    if found and "schema" not in notebook.answers:
        notebook.note("schema", ", ".join(found), "these SQL files lie beside the application")
        return found, {}
    said = notebook.question(
        "schema",
        "Which SQL files make the schema (paths, with commas; none: empty)?",
        "",
        "no SQL file was found beside the application: the rehearsal's database is empty",
    )
    names = [name.strip() for name in said.split(",") if name.strip()]
    kept = {f"sql/{i + 1:02}-{name.rsplit('/', 1)[-1]}": name for i, name in enumerate(names)}
    return tuple(kept), {place: f"file:{name}" for place, name in kept.items()}


def _router_dockerfile(has_parsers: bool) -> str:
    lines = [f"FROM {documents.ROUTER_BASE}",
             f"COPY application.conf {documents.ROUTER_FILE}"]  # fmt: skip
    if has_parsers:
        lines.append(f"COPY parsers.conf {PARSERS}")
    return "\n".join(lines) + "\n"


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
