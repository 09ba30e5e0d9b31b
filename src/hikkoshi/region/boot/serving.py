"""In the region's process: its network, and its entry point until it ends."""

from __future__ import annotations

import asyncio
import errno
import importlib
import inspect
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hikkoshi.base.collection import no_collection
from hikkoshi.base.errors import BadInput
from hikkoshi.region.boot.context import RegionContext
from hikkoshi.region.boot.doors import DoorClient
from hikkoshi.region.boot.ground import EmbeddedGround
from hikkoshi.region.boot.network import Network
from hikkoshi.region.boot.refusal import explain_refusal, read_facts
from hikkoshi.region.boot.settings import KEPT

if TYPE_CHECKING:
    from hikkoshi.region.boot.inner import Inside


_TURN_S = 0.0005
"""How long a thread waits before it asks another for the interpreter. Python's 5 ms are met after
each call of the kernel for which a thread lets it go: starting a process makes a dozen of them, and
the loop, which answers the API, waits as long for each thread that computes."""


def serve(inside: Inside) -> None:
    """Returns when the entry point has ended; raises what it raised."""
    sys.setswitchinterval(_TURN_S)
    network = _lay_network()
    with no_collection():
        main = find_entry_point(inside.entry_point)
    # Not asyncio.run: it would wait, without end, for whatever a thread of a room is stuck in.
    asyncio.new_event_loop().run_until_complete(_serve(inside, main, network))


def _lay_network() -> Network:
    try:
        return Network.lay()
    except OSError as error:
        raise explain_refusal(str(error), error.errno or errno.EPERM, read_facts()) from error


def find_entry_point(dotted: str) -> Callable[..., Any]:
    """`package.module:function` → the coroutine function. Raises BadInput."""
    module_name, _, name = dotted.partition(":")
    try:
        main = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"no entry point {dotted!r}: {error}") from error
    if not inspect.iscoroutinefunction(main):
        raise BadInput(f"the entry point {dotted!r} is not an async function")
    return main  # type: ignore[no-any-return]


async def _serve(inside: Inside, main: Callable[..., Any], network: Network) -> None:
    ground = EmbeddedGround(
        inside.ground, inside.region_id, network, DoorClient(inside.channel), inside.cgroups
    )
    context = RegionContext(
        inside.region_id,
        inside.api,
        inside.api_url,
        inside.record_directory,
        inside.ground.parent / KEPT,
        inside.payload,
        announce=lambda: inside.report("ready"),
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, context.stopping.set)
    try:
        await main(ground, context)
    finally:
        ground.close()
