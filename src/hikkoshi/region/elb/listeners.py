"""ELBv2's operations on listeners and rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hikkoshi.region.elb.attributes import defaults_of, merge_attributes, table_of_listener
from hikkoshi.region.elb.facts import tls_versions
from hikkoshi.region.elb.keeper import ApiCall, Keeper, arn, new_id, page, tags_of
from hikkoshi.region.elb.model import Document, Holdings, Listener, Rule, forwarded
from hikkoshi.region.elb.stream import ALPN_POLICIES
from hikkoshi.region.elb.terms import check_actions, check_conditions, refuse
from hikkoshi.region.front.port import AwsError, Caller, NotImplementedByRegion


class ListenerCalls:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def operations(self) -> Mapping[str, ApiCall]:
        return {
            "CreateListener": self._create,
            "DescribeListeners": self._describe,
            "ModifyListener": self._modify,
            "DeleteListener": self._delete,
            "DescribeListenerAttributes": self._describe_attributes,
            "ModifyListenerAttributes": self._modify_attributes,
            "DescribeListenerCertificates": self._certificates,
            "AddListenerCertificates": self._add_certificates,
            "RemoveListenerCertificates": self._remove_certificates,
            "CreateRule": self._create_rule,
            "DescribeRules": self._describe_rules,
            "ModifyRule": self._modify_rule,
            "DeleteRule": self._delete_rule,
            "SetRulePriorities": self._set_priorities,
        }

    async def _create(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        balancer = self._keeper.balancer_of(parameters["LoadBalancerArn"])
        protocol, port = parameters.get("Protocol"), parameters.get("Port")
        if port is None:
            raise refuse("A listener port must be specified")
        if protocol is None:
            raise refuse("A listener protocol must be specified")
        _need_protocol(balancer.kind, protocol)
        tls = await self._tls(protocol, parameters, caller)
        actions = check_actions(parameters["DefaultActions"], self._keeper.holdings)
        check_groups(protocol, actions, self._keeper.holdings)
        self._need_free(balancer.arn, port)
        door_fd, door_port, inside_fd = await self._keeper.open_sockets(balancer.address, port)
        path = balancer.arn.partition(":loadbalancer/")[2]
        listener = Listener(
            arn=arn(caller, f"listener/{path}/{new_id()}"),
            load_balancer_arn=balancer.arn,
            port=port,
            protocol=protocol,
            door_fd=door_fd,
            door_port=door_port,
            inside_fd=inside_fd,
            default_actions=actions,
            attributes=defaults_of(table_of_listener(protocol)),
            **tls,
        )
        tags = tags_of(parameters)

        def with_it(held: Holdings) -> Holdings:
            self._need_free(balancer.arn, port)
            return held.having("listeners", listener.arn, listener).having(
                "tags", listener.arn, tags
            )

        try:
            await self._keeper.change(with_it)
        except BaseException:
            await self._keeper.close_sockets(door_fd, inside_fd)
            raise
        return {"Listeners": [_describe_one(listener)]}

    def _need_free(self, balancer_arn: str, port: int) -> None:
        if any(known.port == port for known in self._keeper.holdings.listeners_of(balancer_arn)):
            what = f"A listener already exists on port {port} for this load balancer"
            raise AwsError("DuplicateListener", what)

    async def _describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        wanted, balancer = parameters.get("ListenerArns"), parameters.get("LoadBalancerArn")
        if wanted:
            found = [self._keeper.listener(item) for item in wanted]
        elif balancer:
            found = self._keeper.holdings.listeners_of(self._keeper.balancer_of(balancer).arn)
        else:
            raise refuse("You must specify either listener ARNs or a load balancer ARN")
        return page([_describe_one(item) for item in found], parameters, "Listeners")

    async def _modify(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        listener = self._keeper.listener(parameters["ListenerArn"])
        if parameters.get("Port", listener.port) != listener.port:
            raise NotImplementedByRegion("elbv2:ModifyListener with another Port")
        altered = listener
        protocol = parameters.get("Protocol", listener.protocol)
        _need_protocol(self._keeper.balancer_of(listener.load_balancer_arn).kind, protocol)
        if protocol != listener.protocol or _TLS_MEMBERS & parameters.keys():
            known = {
                "Certificates": [{"CertificateArn": item} for item, _ in listener.certificates],
                "SslPolicy": listener.ssl_policy,
                "AlpnPolicy": [listener.alpn_policy] if listener.alpn_policy else [],
            }
            asked = parameters if protocol in _PLAIN else known | parameters
            tls = await self._tls(protocol, asked, caller)
            altered = replace(listener, protocol=protocol, **tls)
        if "DefaultActions" in parameters:
            actions = check_actions(parameters["DefaultActions"], self._keeper.holdings)
            altered = replace(altered, default_actions=actions)
        check_groups(protocol, altered.default_actions, self._keeper.holdings)
        await self._keeper.change(lambda held: held.having("listeners", altered.arn, altered))
        return {"Listeners": [_describe_one(altered)]}

    async def _tls(
        self, protocol: str, parameters: Mapping[str, Any], caller: Caller
    ) -> dict[str, Any]:
        """The listener's fields of certificates and policy."""
        if protocol in _PLAIN:
            if parameters.get("Certificates"):
                raise refuse(f"Certificates cannot be specified for {protocol} listeners")
            if parameters.get("MutualAuthentication", {}).get("Mode", "off") != "off":
                raise refuse(f"Mutual authentication cannot be specified for {protocol} listeners")
            return {"certificates": (), "ssl_policy": None, "alpn_policy": None}
        if parameters.get("MutualAuthentication", {}).get("Mode", "off") != "off":
            raise NotImplementedByRegion("elbv2: mutual authentication")
        policies = parameters.get("AlpnPolicy") or []
        if policies and (
            protocol != "TLS" or len(policies) > 1 or policies[0] not in ALPN_POLICIES
        ):
            raise refuse("One ALPN policy can be given, to a TLS listener, of "
                         f"[{', '.join(ALPN_POLICIES)}]")  # fmt: skip
        asked = [item.get("CertificateArn", "") for item in parameters.get("Certificates") or []]
        if len(asked) != 1:
            what = f"A certificate must be specified for {protocol} listeners"
            raise (
                AwsError("CertificateNotFound", what)
                if not asked
                else refuse(
                    "Only the default certificate can be given here; use AddListenerCertificates"
                )
            )
        policy = parameters.get("SslPolicy") or "ELBSecurityPolicy-2016-08"
        if tls_versions(policy) is None:
            raise AwsError("SSLPolicyNotFound", f"SSL policy '{policy[:80]}' not found")
        files = [(item, await self._keeper.certificate_file(item, caller.region)) for item in asked]
        return {
            "certificates": tuple(files),
            "ssl_policy": policy,
            "alpn_policy": policies[0] if policies else None,
        }

    async def _certificates(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        listener = self._keeper.listener(parameters["ListenerArn"])
        described = [
            {"CertificateArn": item, "IsDefault": place == 0}
            for place, (item, _) in enumerate(listener.certificates)
        ]
        return page(described, parameters, "Certificates")

    async def _add_certificates(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """HAProxy chooses among them by the name that the client asks for, as AWS does."""
        listener = self._keeper.listener(parameters["ListenerArn"])
        if not listener.certificates:
            raise refuse("Certificates can only be added to HTTPS and TLS listeners")
        known = dict(listener.certificates)
        for arn_ in _arns_of(parameters):
            known[arn_] = await self._keeper.certificate_file(arn_, caller.region)
        await self._set_certificates(listener, known)
        return {"Certificates": [{"CertificateArn": item, "IsDefault": False} for item in known]}

    async def _remove_certificates(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        listener = self._keeper.listener(parameters["ListenerArn"])
        leaving = set(_arns_of(parameters))
        if listener.certificates and listener.certificates[0][0] in leaving:
            raise AwsError("OperationNotPermitted", "The default certificate cannot be removed")
        known = {item: file for item, file in listener.certificates if item not in leaving}
        await self._set_certificates(listener, known)
        return {}

    async def _set_certificates(self, listener: Listener, files: Mapping[str, str]) -> None:
        altered = replace(listener, certificates=tuple(files.items()))
        await self._keeper.change(lambda held: held.having("listeners", altered.arn, altered))

    async def _describe_attributes(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        return _attributes(self._keeper.listener(parameters["ListenerArn"]).attributes)

    async def _modify_attributes(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        listener = self._keeper.listener(parameters["ListenerArn"])
        table = table_of_listener(listener.protocol)
        merged = merge_attributes(listener.attributes, parameters["Attributes"], table)
        altered = replace(listener, attributes=merged)
        await self._keeper.change(lambda held: held.having("listeners", altered.arn, altered))
        return _attributes(merged)

    async def _delete(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        listener = self._keeper.listener(parameters["ListenerArn"])

        def without(held: Holdings) -> Holdings:
            for rule in held.rules_of(listener.arn):
                held = held.having("rules", rule.arn, None)
            return held.having("listeners", listener.arn, None)

        await self._keeper.change(without)
        await self._keeper.close_sockets(listener.door_fd, listener.inside_fd)
        return {}

    # Rules

    async def _create_rule(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        listener = self._keeper.listener(parameters["ListenerArn"])
        if not listener.is_http:
            raise _no_rules(listener.protocol)
        _refuse_transforms(parameters)
        path = listener.arn.partition(":listener/")[2]
        rule = Rule(
            arn=arn(caller, f"listener-rule/{path}/{new_id()}"),
            listener_arn=listener.arn,
            priority=_check_priority(parameters["Priority"]),
            conditions=check_conditions(parameters["Conditions"]),
            actions=check_actions(parameters["Actions"], self._keeper.holdings),
        )
        check_groups(listener.protocol, rule.actions, self._keeper.holdings)
        tags = tags_of(parameters)

        def with_it(held: Holdings) -> Holdings:
            if any(known.priority == rule.priority for known in held.rules_of(listener.arn)):
                raise AwsError("PriorityInUse", f"Priority '{rule.priority}' is currently in use")
            return held.having("rules", rule.arn, rule).having("tags", rule.arn, tags)

        await self._keeper.change(with_it)
        return {"Rules": [_describe_rule(rule)]}

    async def _describe_rules(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        if wanted := parameters.get("RuleArns"):
            return {"Rules": [self._describe_by_arn(item) for item in wanted]}
        if "ListenerArn" not in parameters:
            raise refuse("You must specify either listener rule ARNs or a listener ARN")
        listener = self._keeper.listener(parameters["ListenerArn"])
        rules = [_describe_rule(rule) for rule in self._keeper.holdings.rules_of(listener.arn)]
        return page([*rules, _default_rule(listener)], parameters, "Rules")

    def _describe_by_arn(self, item: str) -> dict[str, Any]:
        for listener in self._keeper.holdings.listeners.values():
            if _default_rule(listener)["RuleArn"] == item:
                return _default_rule(listener)
        return _describe_rule(self._keeper.rule(item))

    async def _modify_rule(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        altered = self._keeper.rule(parameters["RuleArn"])
        _refuse_transforms(parameters)
        if "Conditions" in parameters:
            altered = replace(altered, conditions=check_conditions(parameters["Conditions"]))
        if "Actions" in parameters:
            actions = check_actions(parameters["Actions"], self._keeper.holdings)
            protocol = self._keeper.listener(altered.listener_arn).protocol
            check_groups(protocol, actions, self._keeper.holdings)
            altered = replace(altered, actions=actions)
        await self._keeper.change(lambda held: held.having("rules", altered.arn, altered))
        return {"Rules": [_describe_rule(altered)]}

    async def _delete_rule(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        rule = self._keeper.rule(parameters["RuleArn"])
        await self._keeper.change(lambda held: held.having("rules", rule.arn, None))
        return {}

    async def _set_priorities(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        # Neither member is required in AWS's model.
        if any(not {"RuleArn", "Priority"} <= pair.keys() for pair in parameters["RulePriorities"]):
            raise refuse("A rule ARN and a priority must be specified")
        asked = {
            pair["RuleArn"]: _check_priority(pair["Priority"])
            for pair in parameters["RulePriorities"]
        }
        moved = [replace(self._keeper.rule(item), priority=asked[item]) for item in asked]

        def with_them(held: Holdings) -> Holdings:
            for rule in moved:
                held = held.having("rules", rule.arn, rule)
            for listener_arn in {rule.listener_arn for rule in moved}:
                priorities = [rule.priority for rule in held.rules_of(listener_arn)]
                if len(set(priorities)) < len(priorities):
                    raise AwsError("PriorityInUse", "One or more priorities are in use")
            return held

        await self._keeper.change(with_them)
        return {"Rules": [_describe_rule(rule) for rule in moved]}


_PLAIN = ("HTTP", "TCP")
_TLS_MEMBERS = {"Certificates", "SslPolicy", "AlpnPolicy", "MutualAuthentication"}
_PROTOCOLS = {"application": ("HTTP", "HTTPS"), "network": ("TCP", "TLS")}
_UNPLAYED = ("UDP", "TCP_UDP", "QUIC", "TCP_QUIC")


def _need_protocol(kind: str, protocol: str) -> None:
    if protocol in _UNPLAYED and kind == "network":
        raise NotImplementedByRegion(f"elbv2: listeners of protocol {protocol}")
    if protocol not in _PROTOCOLS[kind]:
        # In the words in which AWS names them.
        named = "HTTP, HTTPS" if kind == "application" else "UDP, TCP, TLS, TCP_UDP"
        what = f"Listener protocol '{protocol[:20]}' must be one of '{named}'"
        raise refuse(what)


def check_groups(protocol: str, actions: Sequence[Document], held: Holdings) -> None:
    """AwsError where what a listener of this protocol does cannot be done by it."""
    is_http = protocol in ("HTTP", "HTTPS")
    if not is_http and actions[0]["Type"] != "forward":
        what = f"The action type '{actions[0]['Type']}' is not valid for a {protocol} listener"
        raise AwsError("InvalidLoadBalancerAction", what)
    for group_arn, _ in forwarded(tuple(actions)):
        group = held.target_groups[group_arn]
        if group.is_http != is_http:
            what = f"Listener protocol '{protocol}' is not supported with a target group with "
            what += f"protocol '{group.protocol}'"
            raise AwsError("IncompatibleProtocols", what)


def _no_rules(protocol: str) -> AwsError:
    what = f"Rules are not supported for listeners of protocol '{protocol}'"
    return AwsError("InvalidConfigurationRequest", what)


def _arns_of(parameters: Mapping[str, Any]) -> list[str]:
    """Of the certificates that are named; AWS's model does not require that they are."""
    arns = [item.get("CertificateArn") for item in parameters["Certificates"]]
    if not all(arns):
        raise refuse("A certificate ARN must be specified")
    return [str(arn_) for arn_ in arns]


def _refuse_transforms(parameters: Mapping[str, Any]) -> None:
    if parameters.get("Transforms"):
        raise NotImplementedByRegion("elbv2: transforms of a rule")


def _check_priority(priority: int) -> int:
    if not 1 <= priority <= 50_000:
        raise refuse(f"Priority '{priority}' must be between 1 and 50000")
    return priority


def _describe_one(listener: Listener) -> dict[str, Any]:
    tls: dict[str, Any] = {}
    if listener.certificates:
        tls["Certificates"] = [{"CertificateArn": listener.certificates[0][0]}]
        tls["SslPolicy"] = listener.ssl_policy
    if listener.alpn_policy:
        tls["AlpnPolicy"] = [listener.alpn_policy]
    return {
        **tls,
        "ListenerArn": listener.arn,
        "LoadBalancerArn": listener.load_balancer_arn,
        "Port": listener.port,
        "Protocol": listener.protocol,
        "DefaultActions": [dict(action) for action in listener.default_actions],
    }


def _describe_rule(rule: Rule) -> dict[str, Any]:
    return {
        "RuleArn": rule.arn,
        "Priority": str(rule.priority),
        "Conditions": [dict(condition) for condition in rule.conditions],
        "Actions": [dict(action) for action in rule.actions],
        "IsDefault": False,
    }


def default_rule_arn(listener: Listener) -> str:
    """AWS gives the default rule an id of its own; here it is the listener's."""
    path = listener.arn.replace(":listener/", ":listener-rule/")
    return f"{path}/{listener.arn.rpartition('/')[2]}"


def _default_rule(listener: Listener) -> dict[str, Any]:
    return {
        "RuleArn": default_rule_arn(listener),
        "Priority": "default",
        "Conditions": [],
        "Actions": [dict(action) for action in listener.default_actions],
        "IsDefault": True,
    }


def _attributes(attributes: Mapping[str, str]) -> dict[str, Any]:
    return {"Attributes": [{"Key": key, "Value": value} for key, value in attributes.items()]}
