"""A deploy by CodeDeploy: the same look and the same files; CodeDeploy makes the deployment."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from hikkoshi.aws.access import calling
from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.ship import codedeploy
from hikkoshi.ship.audit import Audit
from hikkoshi.ship.calls import Calls, primary, short
from hikkoshi.ship.codedeploy import Group
from hikkoshi.ship.deployments import registered
from hikkoshi.ship.home import Home
from hikkoshi.ship.judge import State
from hikkoshi.ship.live import Live
from hikkoshi.ship.outcome import Outcome
from hikkoshi.ship.watch import Ended, Show

Document = dict[str, Any]
_EVENTS = ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"]


@dataclass
class CodeDeploy:
    """One service's deployment group. Errors are AwsRefused, BadInput and CannotRun."""

    calls: Calls
    home: Home
    show: Show
    every_s: float
    _said: set[str] = field(default_factory=set)

    def __call__(self, operation: str, **parameters: Any) -> Any:
        client = self.calls.access.client("codedeploy")
        method = "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")
        return calling(f"codedeploy:{operation}", getattr(client, method), **parameters)

    def group(self) -> Group:
        """The one that the configuration names (`codedeploy:`), else the only one that deploys
        this service."""
        named = self.home.codedeploy
        if named.get("application_name") and named.get("deployment_group_name"):
            return Group(named["application_name"], named["deployment_group_name"])
        found = [
            group
            for application in self._applications()
            for group in codedeploy.groups_of_service(
                self._groups(application), self.calls.cluster, self.calls.service
            )
        ]
        if len(found) == 1:
            return found[0]
        fix = "name it: codedeploy: {application_name: …, deployment_group_name: …}"
        if not found:
            raise BadInput(
                f"no deployment group of CodeDeploy deploys {self.calls.cluster}/"
                f"{self.calls.service}",
                fix=f"make one (aws deploy create-deployment-group), or {fix}",
            )
        names = ", ".join(f"{each.application}/{each.name}" for each in found)
        raise BadInput(f"several deployment groups deploy this service: {names}", fix=fix)

    def _applications(self) -> list[str]:
        named = self.home.codedeploy.get("application_name")
        return [named] if named else self._pages("ListApplications", "applications")

    def _groups(self, application: str) -> list[Document]:
        names = self._pages("ListDeploymentGroups", "deploymentGroups",
                            applicationName=application)  # fmt: skip
        found: list[Document] = []
        for start in range(0, len(names), 100):
            answer = self("BatchGetDeploymentGroups", applicationName=application,
                          deploymentGroupNames=names[start : start + 100])  # fmt: skip
            found += answer["deploymentGroupsInfo"]
        return found

    def _pages(self, operation: str, member: str, **parameters: Any) -> list[str]:
        found: list[str] = []
        token: Document = {}
        while True:
            answer = self(operation, **parameters, **token)
            found += answer.get(member) or []
            if not answer.get("nextToken"):
                return found
            token = {"nextToken": answer["nextToken"]}

    def deployments(self, group: Group, statuses: tuple[str, ...] = ()) -> list[Document]:
        """The newest 25 of the group, the newest first."""
        more = {"includeOnlyStatuses": list(statuses)} if statuses else {}
        ids = self("ListDeployments", **group.parameters, **more)["deployments"][:25]
        found = [self.info(each) for each in ids]
        return sorted(found, key=lambda info: info["createTime"], reverse=True)

    def info(self, deployment: str) -> Document:
        return dict(self("GetDeployment", deploymentId=deployment)["deploymentInfo"])

    def create(self, group: Group, definition: str, service: Document) -> str:
        content = codedeploy.appspec(definition, service, self.home.hooks)
        made = self(
            "CreateDeployment", **group.parameters,
            revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": content}},
            description=f"hikkoshi deploys {short(definition)}",
            autoRollbackConfiguration={"enabled": True, "events": _EVENTS},
        )  # fmt: skip
        return str(made["deploymentId"])

    def watch(self, deployment: str, deadline: float) -> Ended:
        """Until it has ended, and the rollback of it, if CodeDeploy makes one. deadline: of
        time.monotonic, beside what the deployment waits by its group's settings."""
        began = time.monotonic()
        while True:
            info = self.info(deployment)
            back = codedeploy.rollback_of(info)
            rollback = self.info(back) if back else None
            if back and back not in self._said:
                self._said.add(back)
                self.show.say(f"CodeDeploy rolls back by {back}")
            self._tell(back or deployment)
            state, reason = codedeploy.judge(info, rollback)
            if not state.is_final and time.monotonic() >= deadline + codedeploy.waits_s(info):
                state, reason = State.TIMED_OUT, "the deployment goes on; `hikkoshi wait` waits"
            if state.is_final:
                return Ended(state, reason, took_s=time.monotonic() - began)
            time.sleep(self.every_s)

    def outcome(self, ended: Ended, deployment: str, *, changed: bool = True) -> Outcome:
        """With the task definition that serves now."""
        now = short(primary(self.calls.must_describe())["taskDefinition"])
        return Outcome(
            ended.state, ended.reason, self.calls.cluster, self.calls.service, deployment, now,
            changed, ended,
        )  # fmt: skip

    def _tell(self, deployment: str) -> None:
        ids = self("ListDeploymentTargets", deploymentId=deployment).get("targetIds") or []
        if not ids:
            return
        found = self("BatchGetDeploymentTargets", deploymentId=deployment, targetIds=ids)
        for each in found.get("deploymentTargets") or []:
            target = each.get("ecsTarget") or {}
            for line in codedeploy.describe_target(target):
                if f"{deployment} {line}" not in self._said:
                    self._said.add(f"{deployment} {line}")
                    self.show.say(f"{deployment} {line}")
            sets = codedeploy.describe_sets(target)
            if sets and sets not in self._said:
                self._said.add(sets)
                self.show.now(sets)


def deploy(
    by: CodeDeploy, live: Live, audit: Audit, deadline: float, *, forces: bool, waits: bool
) -> tuple[Ended, str | None, str]:
    """(how it ended, CodeDeploy's id of the deployment, the task definition's ARN)."""
    calls, show = by.calls, by.show
    if live.service is None:
        return _create(by, audit, deadline, waits=waits)
    front = primary(live.service)
    changed = live.changes.service or {}
    group = by.group()
    going = by.deployments(group, codedeploy.IN_FLIGHT)
    if going:
        raise CannotRun(
            f"CodeDeploy has {going[0]['deploymentId']} in progress ({going[0]['status']}), and it "
            "makes one at a time",
            fix="`hikkoshi wait` for its end, or `hikkoshi rollback` to stop it",
        )
    definition = str(front["taskDefinition"])
    if live.changes.changes_task:
        definition = registered(calls, by.home, show)
    updates = {k: v for k, v in changed.items() if k in codedeploy.UPDATED_BY_ECS}
    if updates:
        calls("UpdateService", cluster=calls.cluster, service=calls.service, **updates)
        show.say(f"updated {', '.join(sorted(updates))}")
    if not forces and not codedeploy.needs_deployment(live.changes.changes_task, changed):
        return Ended(State.SUCCEEDED, "updated; nothing for CodeDeploy"), None, definition
    wanted = by.home.service_definition or live.service
    deployment = by.create(group, definition, wanted)
    show.say(f"deployment {deployment} of {short(definition)} began in {group.application}/"
             f"{group.name}")  # fmt: skip
    audit.note(
        "deploy sent", cluster=calls.cluster, service=calls.service, deployment=deployment,
        task_definition=short(definition),
    )  # fmt: skip
    if not waits:
        return Ended(State.SUCCEEDED, "sent; not waited for"), deployment, definition
    return by.watch(deployment, deadline), deployment, definition


def _create(
    by: CodeDeploy, audit: Audit, deadline: float, *, waits: bool
) -> tuple[Ended, str | None, str]:
    """The first task set is ECS's own; CodeDeploy comes with the next deploy."""
    calls = by.calls
    definition = registered(calls, by.home, by.show)
    by.show.say(f"creating the service {calls.service}")
    calls("CreateService", **{
        **(by.home.service_definition or {}), "cluster": calls.cluster,
        "taskDefinition": definition, "clientToken": secrets.token_hex(16),
    })  # fmt: skip
    audit.note("deploy sent", cluster=calls.cluster, service=calls.service,
               task_definition=short(definition))  # fmt: skip
    while waits:
        sets = calls.must_describe().get("taskSets", [])
        if any(each.get("stabilityStatus") == "STEADY_STATE" for each in sets):
            break
        if time.monotonic() >= deadline:
            return Ended(State.TIMED_OUT, "the first task set is not steady"), None, definition
        time.sleep(by.every_s)
    said = "the first task set is steady" if waits else "sent; not waited for"
    return Ended(State.SUCCEEDED, said), None, definition


@dataclass(frozen=True, slots=True)
class Plan:
    """now, to: task definitions, short; to None: CodeDeploy knows where it goes back to.
    stops: the deployment to be stopped; else `target`, an ARN, is deployed."""

    group: Group
    now: str
    to: str | None
    stops: str | None = None
    target: str | None = None

    @property
    def words(self) -> str:
        if self.stops is not None:
            return f"stop {self.stops} of {self.to or 'an AppSpec elsewhere'}: back to {self.now}"
        return f"from {self.now} back to {self.to}"


def plan_rollback(by: CodeDeploy, service: Document, named: str | None) -> Plan:
    """BadInput: there is nothing to go back to, or the named one does not exist."""
    group, now = by.group(), short(primary(service)["taskDefinition"])
    going = by.deployments(group, codedeploy.IN_FLIGHT)
    if going and named is not None:
        raise BadInput(
            f"CodeDeploy has {going[0]['deploymentId']} in progress, and it makes one at a time",
            fix="leave --to out: it is stopped, and CodeDeploy goes back",
        )
    if going:
        new = codedeploy.definition_in(going[0].get("revision") or {})
        stops = str(going[0]["deploymentId"])
        return Plan(group, now, short(new) if new else None, stops=stops)
    target: str | None
    if named is not None:
        name = named if ":" in named else f"{now.rpartition(':')[0]}:{named}"
        found = by.calls.definition(name)
        if found is None:
            raise BadInput(f"there is no task definition {name}", fix="`hikkoshi revisions`")
        target = str(found["taskDefinitionArn"])
    else:
        target = last_other(by.deployments(group, ("Succeeded",)), service)
    if target is None:
        raise BadInput(
            "CodeDeploy knows no earlier deployment of another task definition that succeeded",
            fix="name a revision: --to N (`hikkoshi revisions` lists them)",
        )
    return Plan(group, now, short(target), target=target)


def roll_back(
    by: CodeDeploy, service: Document, plan: Plan, audit: Audit, timeout_s: float, *, waits: bool
) -> Outcome:
    """SUCCEEDED: what served before serves again."""
    deadline = time.monotonic() + timeout_s
    calls = by.calls
    audit.note("rollback begins", cluster=calls.cluster, service=calls.service, before=plan.now,
               to=plan.to)  # fmt: skip
    if plan.stops is not None:
        name = plan.stops
        by("StopDeployment", deploymentId=name, autoRollbackEnabled=True)
        by.show.say(f"stopped {name}; CodeDeploy rolls back")
    else:
        assert plan.target is not None, "a plan stops or deploys"
        name = by.create(plan.group, plan.target, service)
        by.show.say(f"deployment {name} of {plan.to} began")
    ended = by.watch(name, deadline) if waits else Ended(State.SUCCEEDED, "sent; not waited for")
    if plan.stops is not None and ended.state is State.ROLLED_BACK:
        ended = Ended(State.SUCCEEDED, "rolled back", took_s=ended.took_s)
    outcome = by.outcome(ended, name)
    audit.note("rollback ended", cluster=calls.cluster, service=calls.service, deployment=name,
               task_definition=outcome.task_definition, outcome=ended.state.value,
               reason=ended.reason)  # fmt: skip
    return outcome


def wait(by: CodeDeploy, timeout_s: float) -> Outcome:
    """Until the group's newest deployment has ended; BadInput if there was none."""
    deadline = time.monotonic() + timeout_s
    group = by.group()
    newest = next(iter(by.deployments(group)), None)
    if newest is None:
        raise BadInput(f"CodeDeploy has made no deployment in {group.application}/{group.name}")
    # A rollback is a deployment of its own, and tells whose it is.
    of = (newest.get("rollbackInfo") or {}).get("rollbackTriggeringDeploymentId")
    name = str(of or newest["deploymentId"])
    return by.outcome(by.watch(name, deadline), name, changed=False)


def last_other(deployments: list[Document], service: Document) -> str | None:
    """The task definition of the newest deployment that has another one than what serves. Pure."""
    current = short(primary(service)["taskDefinition"])
    for info in deployments:
        found = codedeploy.definition_in(info.get("revision") or {})
        if found is not None and short(found) != current:
            return found
    return None
