"""The fixtures of the X-Ray room."""

from xray_house import api, start_sidecar

__all__ = ["api", "start_sidecar"]
