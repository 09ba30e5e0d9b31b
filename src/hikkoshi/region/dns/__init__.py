"""The region's DNS."""

from hikkoshi.region.dns.server import DnsServer

__all__ = ["DnsServer"]
