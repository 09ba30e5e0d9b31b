"""For all tests."""

from __future__ import annotations

import signal

# A shell that starts the suite in the background lets it ignore Ctrl-C, and every program that a
# test starts would inherit that; one that has a handler starts its children with the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
