"""Deploy: what would change is known first, then one change is made, and its end is judged."""

from __future__ import annotations

import contextlib
import difflib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.project.aws_shapes import input_shape
from hikkoshi.ship import blue_green, codedeploy, codedeploying, lock
from hikkoshi.ship import canary as canaries
from hikkoshi.ship.audit import Audit
from hikkoshi.ship.beside import KnownHere, refuse_beside_a_cutover, shifts_weights
from hikkoshi.ship.calls import Calls, primary, short
from hikkoshi.ship.codedeploying import CodeDeploy
from hikkoshi.ship.deployments import find_record, registered, stop_deployment
from hikkoshi.ship.home import Home
from hikkoshi.ship.judge import Ours, State
from hikkoshi.ship.live import Live, fingerprint, look
from hikkoshi.ship.outcome import Outcome
from hikkoshi.ship.watch import Ended, Show, Watcher, ours_of

Document = dict[str, Any]
STARTING_S = 60.0
"""A lock outlives the time that its deploy may take by this."""


@dataclass(frozen=True)
class Options:
    """rolls_back: when it is given up. supersedes: a deployment that is in progress."""

    timeout_s: float
    waits: bool = True
    rolls_back: bool = True
    forces: bool = False
    supersedes: bool = False
    locks: bool = True
    breaks_lock: bool = False
    canary_s: float | None = None


@dataclass
class Deployer:
    calls: Calls
    home: Home
    options: Options
    show: Show
    audit: Audit
    every_s: float
    cutover_here: KnownHere = lambda: None
    _watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        self._watcher = Watcher(self.calls, self.show, self.every_s)

    def run(self) -> Outcome:
        """Refusals are BadInput or CannotRun, before anything was changed."""
        live = look(self.calls, self.home)
        timeout_s = self.options.timeout_s + blue_green.waits_s(live.wanted(self.home))
        deadline = time.monotonic() + timeout_s
        for note in live.notes:
            self.show.say(note)
        if live.changes.is_nothing and not self.options.forces:
            outcome = self._nothing_to_change(live, deadline)
            if self.options.locks and lock.remove_stale(
                self.calls.access, self.calls.cluster, self.calls.service
            ):
                self.show.say("removed the lock of a deploy that was killed")
            self._take_left_canaries_away(live)
            return outcome
        self._refuse_what_cannot_be(live)
        with contextlib.ExitStack() as undo:
            if self.options.locks:
                what = f"deploys {self.home.family}"
                for_s = timeout_s + STARTING_S
                undo.enter_context(
                    lock.held(
                        self.calls.access, self.calls.cluster, self.calls.service, what, for_s,
                        breaks=self.options.breaks_lock,
                    )
                )  # fmt: skip
                self._refuse_if_changed(live)
            self._refuse_beside_a_cutover(live)
            return self._change(live, deadline)

    def _take_left_canaries_away(self, live: Live) -> None:
        if live.service is not None:
            left = canaries.left_over(self.calls)
            balancers = [
                b for b in live.service.get("loadBalancers", []) if b.get("targetGroupArn")
            ]
            canaries.take_away(self.calls, left, balancers, self.show, self.every_s)

    def _nothing_to_change(self, live: Live, deadline: float) -> Outcome:
        assert live.service is not None
        front = primary(live.service)
        if live.going is not None:
            self.show.say(f"nothing to change; {front['id']} of it is in progress already")
            if not self.options.waits:
                return self._outcome(State.SUCCEEDED, "in progress", front, changed=False)
            self._watcher.skip_events(live.service)
            return self._finish(live, ours_of(live.service), front, deadline)
        if front.get("rolloutState") == "FAILED":
            return self._outcome(
                State.FAILED,
                f"the files are what is deployed, and that deployment failed: "
                f"{front.get('rolloutStateReason')}. Correct them, or try the same again with "
                "--force-new-deployment",
                front,
                changed=False,
            )
        return self._outcome(State.SUCCEEDED, "nothing to change", front, changed=False)

    def _refuse_what_cannot_be(self, live: Live) -> None:
        strategy = blue_green.strategy_of(live.wanted(self.home))
        if codedeploy.is_codedeploy(live.service or live.wanted(self.home)):
            strategy = codedeploy.CONTROLLER
            if self.calls.access.is_local:
                raise CannotRun(
                    "deploys by CodeDeploy are not implemented by the local region",
                    fix="ECS's own BLUE_GREEN is: deploymentConfiguration.strategy",
                )
        if self.options.canary_s is not None and strategy != "ROLLING":
            raise BadInput(
                f"--canary puts a task among those that serve, and {strategy} keeps the two apart",
                fix="leave --canary out; ECS's own canary is deploymentConfiguration.strategy "
                "CANARY with canaryConfiguration",
            )
        going = live.going
        if going is not None and not self.options.supersedes:
            raise CannotRun(
                f"a deployment of {short(going['taskDefinition'])} is in progress ({going['id']}, "
                f"since {going['createdAt'].astimezone():%H:%M:%S}), and the files differ from it",
                fix="`hikkoshi wait` for its end, `hikkoshi rollback` to stop it, or deploy over "
                "it: --supersede",
            )
        if live.service is None:
            if (self.home.service_definition or {}).get("desiredCount") is None:
                raise BadInput("a new service needs desiredCount in its definition")
            return
        known = input_shape("ecs", "UpdateService").members
        for name in live.changes.service or {}:
            if name not in known:
                raise BadInput(
                    f"{name} of a live service cannot be changed "
                    f"(live: {live.service.get(name)!r})",
                    fix="set it back, or delete the service and deploy again",
                )

    def _refuse_beside_a_cutover(self, live: Live) -> None:
        refuse_beside_a_cutover(
            self.calls.access, live.wanted(self.home), self.cutover_here, self.show.say
        )

    def _refuse_if_changed(self, live: Live) -> None:
        """Someone else's change between the look and the lock."""
        now = self.calls.describe()
        before, after = fingerprint(live.service), fingerprint(now)
        if before != after:
            shown = "\n".join(
                "  " + line
                for line in difflib.unified_diff(
                    before.splitlines(), after.splitlines(), "when looked at", "now", "", "", 1, ""
                )
            )
            raise CannotRun(
                f"someone else changed the service meanwhile:\n{shown}",
                fix="look at it (`hikkoshi diff`), then deploy again",
            )

    def _change(self, live: Live, deadline: float) -> Outcome:
        before = short(primary(live.service)["taskDefinition"]) if live.service else None
        self.audit.note(
            "deploy begins", cluster=self.calls.cluster, service=self.calls.service,
            before=before, task_changes=live.changes.changes_task,
            service_changes=sorted(live.changes.service or {}),
        )  # fmt: skip
        if codedeploy.is_codedeploy(live.service or live.wanted(self.home)):
            with self._going_on_in("CodeDeploy"):
                return self._by_codedeploy(live, deadline)
        self._watcher.skip_events(live.service)
        self._take_left_canaries_away(live)
        definition = self._definition(live)
        with contextlib.ExitStack() as undo:
            if self.options.canary_s is not None:
                self._send_canary(live, definition, self.options.canary_s, undo)
            with self._going_on_in("ECS"):
                return self._send(live, definition, deadline)

    @contextlib.contextmanager
    def _going_on_in(self, who: str) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            self.show.say(f"what was begun goes on in {who}; `hikkoshi wait` waits for its end")
            self.audit.note(
                "deploy interrupted", cluster=self.calls.cluster, service=self.calls.service
            )
            raise

    def _by_codedeploy(self, live: Live, deadline: float) -> Outcome:
        by = CodeDeploy(self.calls, self.home, self.show, self.every_s)
        ended, deployment, definition = codedeploying.deploy(
            by, live, self.audit, deadline, forces=self.options.forces, waits=self.options.waits
        )
        self.audit.note(
            "deploy ended", cluster=self.calls.cluster, service=self.calls.service,
            deployment=deployment, task_definition=short(definition),
            outcome=ended.state.value, reason=ended.reason, took_s=round(ended.took_s, 1),
        )  # fmt: skip
        return Outcome(
            ended.state, ended.reason, self.calls.cluster, self.calls.service, deployment,
            short(definition), ended=ended,
        )  # fmt: skip

    def _send_canary(
        self, live: Live, definition: str, hold_s: float, undo: contextlib.ExitStack
    ) -> None:
        if live.service is None:
            self.show.say("no canary: there is no service yet")
            return
        try:
            undo.enter_context(
                canaries.canary(
                    self.calls, live.service, definition, hold_s, self.show, self.every_s
                )
            )
        except canaries.CanaryFailed as error:
            self.audit.note(
                "deploy ended", cluster=self.calls.cluster, service=self.calls.service,
                task_definition=short(definition), outcome="failed", reason=error.what,
            )  # fmt: skip
            raise

    def _send(self, live: Live, definition: str, deadline: float) -> Outcome:
        service = self._create(definition) if live.service is None else self._update(
            live, definition)  # fmt: skip
        self._tag(service, live)
        front = primary(service)
        ours = self._find_record(ours_of(service))
        begins = live.service is None or front["id"] != primary(live.service)["id"]
        self.audit.note(
            "deploy sent", cluster=self.calls.cluster, service=self.calls.service,
            deployment=front["id"], task_definition=short(front["taskDefinition"]),
        )  # fmt: skip
        if not self.options.waits:
            return self._outcome(State.SUCCEEDED, "sent; not waited for", front)
        if begins:
            self.show.say(f"deployment {front['id']} of {short(front['taskDefinition'])} began")
            self._give_way_to_a_cutover(live, ours)
            return self._finish(live, ours, front, deadline)
        ended = self._watcher.wait_stable(deadline)
        return self._end(ended, front)

    def _give_way_to_a_cutover(self, live: Live, ours: Ours) -> None:
        """One that was marked between the look and the update: it has seen no deployment, and this
        one has shifted nothing yet, so this one is stopped."""
        if shifts_weights(live.wanted(self.home)) is None:
            return
        try:
            self._refuse_beside_a_cutover(live)
        except CannotRun:
            stop_deployment(self.calls, ours)
            raise

    def _definition(self, live: Live) -> str:
        """The task definition to deploy: the live one, the family's newest if it is the same
        (registered by a deploy that was cut off), else a new revision."""
        if live.task is not None and not live.changes.changes_task:
            return str(live.task["taskDefinitionArn"])
        return registered(self.calls, self.home, self.show)

    def _create(self, definition: str) -> Document:
        self.show.say(f"creating the service {self.calls.service}")
        wanted = {
            **(self.home.service_definition or {}),
            "cluster": self.calls.cluster,
            "taskDefinition": definition,
            "clientToken": secrets.token_hex(16),
        }
        return dict(self.calls("CreateService", **wanted)["service"])

    def _update(self, live: Live, definition: str) -> Document:
        parameters: Document = dict(live.changes.service or {})
        assert live.service is not None
        if definition != primary(live.service)["taskDefinition"]:
            parameters["taskDefinition"] = definition
        if self.options.forces:
            parameters["forceNewDeployment"] = True
        if not parameters:
            return live.service
        answer = self.calls(
            "UpdateService", cluster=self.calls.cluster, service=self.calls.service, **parameters
        )
        return dict(answer["service"])

    def _tag(self, service: Document, live: Live) -> None:
        if live.changes.tags and not live.changes.creates:
            tags = [{"key": k, "value": v} for k, v in live.changes.tags]
            self.calls("TagResource", resourceArn=service["serviceArn"], tags=tags)

    def _find_record(self, ours: Ours) -> Ours:
        return ours if ours.record else find_record(self.calls, ours)

    def _finish(self, live: Live, ours: Ours, front: Document, deadline: float) -> Outcome:
        ours = self._find_record(ours)
        ended = self._watcher.watch(ours, deadline, gives_up=True)
        has_before = live.service is not None and len(live.service["deployments"]) > 0
        if ended.state is State.HOPELESS and not has_before:
            self.show.say("there is no earlier deployment to go back to; ECS goes on trying")
        elif ended.state is State.HOPELESS and self.options.rolls_back:
            ended = self._take_back(ours, ended, deadline)
        return self._end(ended, front)

    def _take_back(self, ours: Ours, hopeless: Ended, deadline: float) -> Ended:
        """Stop the hopeless deployment, so that the last good one is back before the breaker's
        last try. The failed revision stays registered: it is the evidence."""
        self.show.say(f"giving up: {hopeless.reason}")
        if not stop_deployment(self.calls, ours):
            self.show.say("there is no earlier deployment to go back to; it is left as it is")
            return hopeless
        self.show.say("rolling back to the last good deployment")
        ended = self._watcher.watch(
            ours, max(deadline, time.monotonic() + STARTING_S), gives_up=False
        )
        if ended.state is State.ROLLED_BACK:
            return Ended(
                State.ROLLED_BACK, hopeless.reason, ended.failed, ended.lines or hopeless.lines,
                ended.why_no_lines, hopeless.took_s + ended.took_s,
            )  # fmt: skip
        return ended

    def _end(self, ended: Ended, front: Document) -> Outcome:
        outcome = self._outcome(ended.state, ended.reason, front, ended=ended)
        self.audit.note(
            "deploy ended", cluster=self.calls.cluster, service=self.calls.service,
            deployment=front["id"], task_definition=short(front["taskDefinition"]),
            outcome=ended.state.value, reason=ended.reason, took_s=round(ended.took_s, 1),
        )  # fmt: skip
        return outcome

    def _outcome(
        self, state: State, reason: str, front: Document, *, changed: bool = True,
        ended: Ended | None = None,
    ) -> Outcome:  # fmt: skip
        return Outcome(
            state, reason, self.calls.cluster, self.calls.service, front["id"],
            short(front["taskDefinition"]), changed, ended,
        )  # fmt: skip
