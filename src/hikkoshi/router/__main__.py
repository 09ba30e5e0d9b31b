"""`python3 -m hikkoshi.router -c FILE`: the stand-in for `fluent-bit`, with its exit codes.

0: ended on request, or the dry run passed. 1: the configuration or a port was refused.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from pathlib import Path

from hikkoshi.base.errors import HikkoshiError
from hikkoshi.router import VERSION
from hikkoshi.router.configuration import LEVELS, read_configuration
from hikkoshi.router.engine import Engine

DEFAULT_PATH = "/fluent-bit/etc/fluent-bit.conf"
USAGE = """Usage: python3 -m hikkoshi.router [OPTION]
  -c, --config=FILE   configuration file, classic or YAML (default: %s)
  -D, --dry-run       check the configuration and end
  -V, --version       show the version and end
  -h, --help          this text
"""


class StderrLog:
    """Fluent Bit's format: `[2026/11/23 18:00:00] [ info] [engine] text`."""

    def __init__(self) -> None:
        self.level = LEVELS.index("info")

    def __call__(self, level: str, where: str, text: str) -> None:
        if LEVELS.index(level) > self.level:
            return
        stamp = time.strftime("%Y/%m/%d %H:%M:%S")
        line = f"[{stamp}] [{level:>5}] [{where}] {text}\n"
        # If nobody reads, the records still matter more than the log of the router.
        with contextlib.suppress(OSError):
            os.write(2, line.encode("utf-8", "replace"))


def _write_out(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def main(arguments: list[str]) -> int:
    path, is_dry = DEFAULT_PATH, False
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("-V", "--version"):
            _write_out(f"Fluent Bit v{VERSION} (hikkoshi's stand-in)\n".encode())
            return 0
        if word in ("-h", "--help"):
            _write_out((USAGE % DEFAULT_PATH).encode())
            return 0
        if word in ("-D", "--dry-run"):
            is_dry = True
        elif word.startswith("--config="):
            path = word.partition("=")[2]
        elif word in ("-c", "--config") and rest:
            path = rest.pop(0)
        elif word in ("-e", "--plugin") and rest:
            rest.pop(0)  # aws-for-fluent-bit loads its Go plugins so; their names are known here
        else:
            sys.stderr.write(f"unknown option {word}\n{USAGE % DEFAULT_PATH}")
            return 1
    return run(Path(path), is_dry)


def run(path: Path, is_dry: bool) -> int:
    log = StderrLog()
    try:
        configuration = read_configuration(path, os.environ)
        log.level = LEVELS.index(configuration.service.log_level)
        log("info", "router", f"hikkoshi's stand-in for Fluent Bit {VERSION}, pid={os.getpid()}")
        for warning in configuration.warnings:
            log("warn", "config", warning)
        engine = Engine(configuration, log=log, write=_write_out, environ=os.environ)
        if is_dry:
            _write_out(b"configuration test is successful\n")
            return 0
        for name in ("SIGTERM", "SIGINT"):
            signal.signal(getattr(signal, name), lambda *_: engine.ask_to_stop())
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        engine.start()
    except HikkoshiError as error:
        log("error", "config", str(error))
        log("error", "config", "configuration file contains errors, aborting.")
        return 1
    # Records hold no circles and go with their last user; looking through all that wait, each time
    # some hundred are new, was a tenth of a busy router's time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    engine.run()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # a worker may still wait for an answer that Grace did not wait for
