"""Undoes what a killed run left, from its journal."""

from __future__ import annotations

from typing import Any

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import CannotRun
from hikkoshi.faults.deploys import BrokenDeploy
from hikkoshi.faults.inside import is_alive
from hikkoshi.faults.journal import Left
from hikkoshi.faults.model import Place
from hikkoshi.faults.network import NetworkFault


def finish(left: Left) -> str:
    """What was done, in words; the entry is then forgotten. Raises HikkoshiError (and keeps it)
    when it could not be undone."""
    told = _undo(left)
    left.forget()
    return told


def _undo(left: Left) -> str:
    where = left.where
    access = _access(where)
    if access.is_local:
        try:
            access.ask("status", timeout_s=10)
        except CannotRun:
            return "its local region has ended, and the fault with it"
    place = Place(access, str(where["cluster"]), where.get("service"))
    if "bad" in left.change:
        return BrokenDeploy.finish(place, left.change)
    if not is_alive(place, str(left.change["task"])):
        return "its task has ended, and the fault with it"
    return NetworkFault.finish(place, left.change)


def _access(where: Any) -> Access:
    if where.get("endpoint"):
        return Access(str(where["endpoint"]), str(where["region"]))
    return Access.to_account(where.get("profile"), str(where["region"]))
