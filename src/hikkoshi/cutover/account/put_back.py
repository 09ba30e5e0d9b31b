"""Puts a load balancer's rule back as it was before a cutover. For AWS Lambda; needs boto3 alone.

EventBridge Scheduler calls it when the tool that was holding a step has given no sign of life.
"""

import json
import logging
from typing import Any

import boto3
from botocore.config import Config

LOG = logging.getLogger()
LOG.setLevel(logging.INFO)


def handler(event: dict[str, Any], context: object) -> str:
    """event: `rule` {"ListenerArn": ...} for a default action, or {"RuleArn": ...}; `original`, the
    actions as they are to be again; `old` and `new`, the target groups that a cutover's rule has.

    Says what was done: "put back", "was back already", or "left" if the rule is not as a cutover
    makes it: then it is someone else's. Raises what AWS refuses, so that Lambda calls again.
    """
    patient = Config(retries={"mode": "standard", "total_max_attempts": 8})
    elb = boto3.client("elbv2", config=patient)
    found = read(elb, event["rule"])
    if meaning(found) == meaning(event["original"]):
        done = "was back already"
    elif not is_a_cutovers(found, event["old"], event["new"]):
        done = "left"
    else:
        write(elb, event["rule"], event["original"])
        if meaning(read(elb, event["rule"])) != meaning(event["original"]):
            raise RuntimeError("the rule is not what it was just set to")
        done = "put back"
    LOG.info(json.dumps({"done": done, "rule": event["rule"], "found": found}))
    return done


def read(elb: Any, rule: dict[str, str]) -> Any:
    if "RuleArn" in rule:
        return elb.describe_rules(RuleArns=[rule["RuleArn"]])["Rules"][0]["Actions"]
    found = elb.describe_listeners(ListenerArns=[rule["ListenerArn"]])
    return found["Listeners"][0]["DefaultActions"]


def write(elb: Any, rule: dict[str, str], actions: Any) -> None:
    if "RuleArn" in rule:
        elb.modify_rule(RuleArn=rule["RuleArn"], Actions=actions)
    else:
        elb.modify_listener(ListenerArn=rule["ListenerArn"], DefaultActions=actions)


def weights(action: dict[str, Any]) -> dict[str, int]:
    """Target group -> weight. A group that is alone has all, whatever its weight."""
    groups = action.get("ForwardConfig", {}).get("TargetGroups") or [action]
    if len(groups) == 1:
        return {groups[0]["TargetGroupArn"]: 1}
    return {group["TargetGroupArn"]: group.get("Weight", 1) for group in groups}


def meaning(actions: Any) -> list[Any]:
    """Which groups get which part; what else there is (authentication) a cutover never changes."""
    return [weights(each) if each["Type"] == "forward" else each["Type"] for each in actions]


def is_a_cutovers(actions: Any, old: str, new: str) -> bool:
    forwards = [weights(action) for action in actions if action["Type"] == "forward"]
    if len(forwards) != 1 or not {old, new} <= set(forwards[0]):
        return False
    return all(w == 0 for group, w in forwards[0].items() if group not in (old, new))
