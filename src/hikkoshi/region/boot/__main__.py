"""`python -m hikkoshi.region.boot`: the door. Its orders come on standard input."""

from __future__ import annotations

import json
import os
import sys

from hikkoshi.region.boot import linux
from hikkoshi.region.boot.door import Door, Orders


def main() -> int:
    with os.fdopen(0, "rb", closefd=False) as orders_in:
        orders = Orders(**json.load(orders_in))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for fd in (orders.lock, orders.reports):
        os.set_inheritable(fd, False)
    linux.set_process_name("hikkoshi-door")
    return Door(orders).run()


if __name__ == "__main__":
    sys.exit(main())
