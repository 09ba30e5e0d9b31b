"""A stand-in for Fluent Bit: runs its configuration files inside a task, as `-m hikkoshi.router`.

It interprets the part of Fluent Bit that a FireLens task uses, moves the records for real, counts
what it drops, and names what it does not interpret. The standard library and msgpack only, because
a copy runs in every task.
"""

VERSION = "4.2.0"
"""The version of Fluent Bit whose documented behaviour is followed."""
