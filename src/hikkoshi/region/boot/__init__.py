"""Starting a region from the host, and leaving nothing behind.

`launch(settings)` starts one and gives a handle; `find_regions` and `clean_up` are what `status`,
`down` and the next start use. Inside, an entry point is given a `Ground` and a `RegionContext`.
"""

from hikkoshi.base.state import index_directory
from hikkoshi.region.boot.cleanup import CleanedUp, clean_up, find_regions
from hikkoshi.region.boot.context import RegionContext
from hikkoshi.region.boot.launch import RegionHandle, launch
from hikkoshi.region.boot.settings import LaunchSettings, RegionRecord

__all__ = [
    "CleanedUp",
    "LaunchSettings",
    "RegionContext",
    "RegionHandle",
    "RegionRecord",
    "clean_up",
    "find_regions",
    "index_directory",
    "launch",
]
