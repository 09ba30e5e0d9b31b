"""ECS Exec's sessions: the data channel of AWS Systems Manager, spoken by both of its ends.

`ecs:ExecuteCommand` answers {sessionId, streamUrl, tokenValue}; behind streamUrl is a websocket.
`client.run` and `client.attend` are one end, against AWS as against a local region; the region's
other end uses the same `message` and `channel`.
"""

from hikkoshi.session.client import Outcome, Session, SessionFailed, attend, run

__all__ = ["Outcome", "Session", "SessionFailed", "attend", "run"]
