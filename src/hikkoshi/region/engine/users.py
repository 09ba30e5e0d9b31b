"""A container's `user`, as Docker understands it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    uid: int = 0
    gid: int = 0
    home: str = "/"

    @property
    def is_root(self) -> bool:
        return self.uid == 0 and self.gid == 0


class UnknownUser(Exception):
    """The text is the container runtime's."""


def parse_user(text: str | None, passwd: str, group: str) -> User:
    """`uid`, `name`, `uid:gid`, `name:group` and mixtures. A uid without an entry has group 0 and
    home /. Raises UnknownUser."""
    name, _, group_name = (text or "0").partition(":")
    entry = _entry(passwd, name, 2)
    if entry is not None and len(entry) >= 6:
        uid, gid, home = int(entry[2]), int(entry[3]), entry[5] or "/"
    elif _is_number(name):
        uid, gid, home = int(name), 0, "/root" if int(name) == 0 else "/"
    else:
        raise UnknownUser(f"unable to find user {name}: no matching entries in passwd file")
    if group_name:
        found = _entry(group, group_name, 2)
        if found is not None:
            gid = int(found[2])
        elif _is_number(group_name):
            gid = int(group_name)
        else:
            raise UnknownUser(
                f"unable to find group {group_name}: no matching entries in group file"
            )
    return User(uid, gid, home)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 2**31


def _entry(database: str, name: str, number_field: int) -> list[str] | None:
    """By name, else by number; malformed lines are passed over."""
    entries = [line.split(":") for line in database.splitlines()]
    valid = [one for one in entries if len(one) > number_field and one[number_field].isdigit()]
    for one in valid:
        if one[0] == name:
            return one
    return next((one for one in valid if one[number_field] == name), None)
