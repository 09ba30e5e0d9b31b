"""The load generator: an open model whose latencies count from when a request was due.

`targets` says what is sent, `pacer` when, `attack` carries it out in a process of its own,
`results` is the stream of what came of it, `report` and `knee` say what that means.
"""

from hikkoshi.load.attack import Attack
from hikkoshi.load.live import Live
from hikkoshi.load.report import LoadSummary
from hikkoshi.load.run import LoadRun
from hikkoshi.load.targets import Target, load_targets

__all__ = ["Attack", "Live", "LoadRun", "LoadSummary", "Target", "load_targets"]
