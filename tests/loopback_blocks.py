"""Blocks of loopback addresses, each held by one test process of the machine."""

from __future__ import annotations

import random
import socket

# Kept until the process ends: the claim on a block is a listening socket in it.
_claims: list[socket.socket] = []
_CLAIM_PORT = 1999


def own_block() -> str:
    """`127.x.y`, of which no other process that asked here has an address."""
    for _ in range(200):
        block = f"127.{random.randrange(64, 127)}.{random.randrange(1, 255)}"
        try:
            _claims.append(socket.create_server((f"{block}.254", _CLAIM_PORT)))
        except OSError:
            continue
        return block
    raise AssertionError("no block of loopback addresses is free")
