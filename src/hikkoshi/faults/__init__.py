"""Faults, each through public calls of AWS: injected, proven, timed, undone.

What cannot be done where it is asked for is *not tried*, with the reason; a fault of which nothing
shows that it happened is not tried either.
"""
