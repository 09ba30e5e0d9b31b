"""Inputs: where records come from."""

from __future__ import annotations

from collections.abc import Callable

from hikkoshi.base.errors import BadInput
from hikkoshi.router.inputs.base import Host, Input
from hikkoshi.router.inputs.dummy import Dummy
from hikkoshi.router.inputs.forward import Forward
from hikkoshi.router.inputs.tail import Tail
from hikkoshi.router.inputs.tcp import Tcp
from hikkoshi.router.section import Settings

INPUTS: dict[str, Callable[[str, Settings, Host], Input]] = {
    "dummy": Dummy,
    "forward": Forward,
    "tail": Tail,
    "tcp": Tcp,
}


def make_input(plugin: str, number: int, settings: Settings, host: Host) -> Input:
    """number: counts the inputs of this plugin, for the name `tcp.0`, which is the default tag."""
    factory = INPUTS.get(plugin.lower())
    if factory is None:
        raise BadInput(
            f"input plugin '{plugin}' cannot be loaded: not interpreted by the stand-in",
            where=settings.section.where,
            fix=f"one of {', '.join(INPUTS)}; or run the real Fluent Bit (--engine docker)",
        )
    return factory(f"{plugin.lower()}.{number}", settings, host)
