from __future__ import annotations

from hikkoshi.evidence.blockers import Session, blocker_tree, read_circle


def test_a_deadlock_is_read_from_the_servers_words():
    circle = read_circle(
        "Process 71 waits for ShareLock on transaction 901; blocked by process 72.\n"
        "Process 72 waits for ShareLock on transaction 900; blocked by process 71.\n"
        "Process 71: UPDATE items\n  SET done = true WHERE id = 7\n"
        "Process 72: UPDATE items SET done = false WHERE id = 3"
    )
    assert [(each.pid, each.waits_for, each.lock) for each in circle] == [
        (71, 72, "ShareLock on transaction 901"),
        (72, 71, "ShareLock on transaction 900"),
    ]
    assert circle[0].statement == "UPDATE items\n  SET done = true WHERE id = 7"
    assert circle[1].statement == "UPDATE items SET done = false WHERE id = 3"
    assert read_circle("something else") == ()


def session(pid, *blocked_by):
    return Session(pid, "active", "Lock: tuple", 1.0, blocked_by, f"query {pid}")


def test_the_tree_has_who_blocks_above_who_waits():
    rows = blocker_tree([session(4, 3), session(3, 1), session(1), session(2, 1), session(9)])
    assert [(row.session.pid, row.depth, row.blocks) for row in rows] == [
        (1, 0, 3),
        (2, 1, 0),
        (3, 1, 1),
        (4, 2, 0),
    ]


def test_a_circle_of_blockers_is_entered_once_and_ends():
    rows = blocker_tree([session(1, 2), session(2, 1), session(3, 77)])
    assert [(row.session.pid, row.depth, row.blocks) for row in rows] == [
        (1, 0, 1),
        (2, 1, 1),
        (3, 0, 0),
    ]
