"""Our client and our server over a real websocket, with a program at a real terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import shlex
import socket
import subprocess
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hikkoshi.base.ending import Ending
from hikkoshi.base.errors import DeadlinePassed
from hikkoshi.region.ecs.sessions import ExecSessions
from hikkoshi.region.engine.port import CannotStartContainer
from hikkoshi.region.engine.terminal import EmbeddedTerminal
from hikkoshi.session import Outcome, Session, SessionFailed, attend, run


async def door():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    return listener.detach(), port


async def at_a_terminal(argv):
    """The engine's terminal, with a process of this machine in the place of a container's."""
    master, slave = pty.openpty()
    popen = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    return EmbeddedTerminal(master, Ending(popen))


class Agent:
    """Sessions on a loop in a thread of its own; `execute` plays ecs:ExecuteCommand."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.sessions = ExecSessions(door)

    def call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def execute(self, command):
        async def start():
            return await at_a_terminal(shlex.split(command))

        return {"session": self.call(self.sessions.open("ecs:c_t_r", start))}

    def refuse(self, command):
        async def start():
            raise CannotStartContainer("the container has ended")

        return {"session": self.call(self.sessions.open("ecs:c_t_r", start))}


@pytest.fixture
def agent():
    import threading

    agent = Agent()
    thread = threading.Thread(target=agent.loop.run_forever)
    thread.start()
    yield agent
    agent.call(agent.sessions.close())
    agent.loop.call_soon_threadsafe(agent.loop.stop)
    thread.join()
    agent.loop.close()


@pytest.mark.parametrize(
    ("argv", "outcome"),
    [
        (["echo", "it's here"], Outcome(b"it's here\n", 0)),
        (["sh", "-c", "printf half; exit 3"], Outcome(b"half", 3)),
        (["sh", "-c", "echo out; echo err >&2; exit 255"], Outcome(b"out\nerr\n", 255)),
    ],
)
def test_a_command_is_run_and_its_code_told(agent, argv, outcome):
    assert run(agent.execute, argv, timeout_s=20) == outcome


def test_much_output_comes_whole_and_in_order(agent):
    outcome = run(agent.execute, ["seq", "60000"], timeout_s=60)
    assert outcome.code == 0
    assert outcome.text.split() == [str(n) for n in range(1, 60001)]


def test_what_is_typed_reaches_the_command(agent):
    outcome = run(agent.execute, ["cat"], stdin=b"hello\n\x04", timeout_s=20)
    # The terminal echoes what is typed, and cat says it again.
    assert outcome == Outcome(b"hello\nhello\n", 0)


def test_a_command_that_outlives_its_time_is_ended(agent, tmp_path):
    pid = tmp_path / "pid"
    with pytest.raises(DeadlinePassed, match="did not end within 1 s"):
        run(agent.execute, ["sh", "-c", f"echo $$ > {pid}; sleep 60"], timeout_s=1)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid.read_text().strip()}"):
        assert time.monotonic() < deadline, "the command was left running"
        time.sleep(0.02)


def test_a_pipe_may_sit_at_the_session_and_a_command_without_a_shell_tells_no_code(agent):
    answer = agent.execute("cat")
    typed_read, typed_write = os.pipe()
    shown_read, shown_write = os.pipe()
    os.write(typed_write, b"one\ntwo")
    os.close(typed_write)
    assert attend(Session.of(answer), typed_read, shown_write) is None
    # Echoed by the terminal, and said again by cat, which learned that there is no more.
    shown = os.read(shown_read, 100)
    assert sorted(shown.replace(b"two", b"two\r\n").split()) == [b"one", b"one", b"two", b"two"]
    for fd in (typed_read, shown_read, shown_write):
        os.close(fd)


def test_a_container_that_has_gone_ends_the_session_in_words(agent):
    session = Session.of(agent.refuse(""))
    read, write = os.pipe()
    try:
        # The handshake is complete by then: AWS closes such a session with the reason as output.
        assert attend(session, read, write) is None
    finally:
        os.close(read)
        os.close(write)


def test_a_token_opens_once_and_only_its_own_session(agent):
    first, second = agent.execute("true"), agent.execute("true")
    wrong = Session(
        first["session"]["sessionId"], first["session"]["streamUrl"],
        second["session"]["tokenValue"],
    )  # fmt: skip
    read, write = os.pipe()
    try:
        with pytest.raises(SessionFailed, match="no such session"):
            attend(wrong, read, write)
        attend(Session.of(first), read, write)
        with pytest.raises(SessionFailed, match="no such session"):
            attend(Session.of(first), read, write)
    finally:
        os.close(read)
        os.close(write)
    assert "tokenValue" not in repr(Session.of(second))
    assert second["session"]["tokenValue"] not in repr(Session.of(second))


@pytest.mark.parametrize(
    "frame", ["", "[]", "{}", '{"TokenValue": 3}', b"\0", "[" * 100_000], ids=range(6)
)
def test_a_client_that_says_something_else_is_turned_away(agent, frame):
    url = agent.execute("true")["session"]["streamUrl"]

    async def speak():
        async with connect(url, proxy=None) as socket:
            await socket.send(frame)
            await socket.recv()

    with pytest.raises(ConnectionClosed):
        asyncio.run(speak())


def test_a_web_page_may_not_connect(agent):
    url = agent.execute("true")["session"]["streamUrl"]

    async def speak():
        async with connect(url, proxy=None, origin="https://evil.example"):
            raise AssertionError("it was let in")

    with pytest.raises(InvalidStatus):
        asyncio.run(speak())
