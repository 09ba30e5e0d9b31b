"""One X-Ray segment for each request, sent to the daemon by UDP.

The format is that of the X-Ray daemon: a header line, then the segment document. The AWS SDK for
X-Ray does the same and more; this is all that genba needs of it, without botocore in the image.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from contextlib import contextmanager

HEADER = b'{"format":"json","version":1}\n'
SERVICE = os.environ.get("AWS_XRAY_TRACING_NAME", "genba")
_current = threading.local()
_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _daemon():
    host, _, port = os.environ.get("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:2000").rpartition(":")
    return host, int(port)


DAEMON = _daemon()


class Segment:
    def __init__(self, header, method, path, started):
        known = dict(part.split("=", 1) for part in (header or "").split(";") if "=" in part)
        self.trace_id = known.get("Root") or f"1-{int(started):08x}-{secrets.token_hex(12)}"
        self.id = secrets.token_hex(8)
        self.document = {
            "name": SERVICE,
            "id": self.id,
            "trace_id": self.trace_id,
            "start_time": started,
            "http": {"request": {"method": method, "url": path}},
            "subsegments": [],
        }
        if "Parent" in known:
            self.document["parent_id"] = known["Parent"]

    def end(self, status, ended):
        _current.segment = None
        self.document["end_time"] = ended
        self.document["http"]["response"] = {"status": status}
        if status >= 500:
            self.document["fault"] = True
        elif status >= 400:
            self.document["error"] = True
        # Tracing never disturbs the request: no daemon, or a document over 64 kB.
        with contextlib.suppress(OSError):
            _socket.sendto(HEADER + json.dumps(self.document).encode(), DAEMON)


def begin(header, method, path, started):
    segment = Segment(header, method, path, started)
    _current.segment = segment
    return segment


@contextmanager
def subsegment(name, sql):
    segment = getattr(_current, "segment", None)
    if segment is None:
        yield
        return
    part = {
        "id": secrets.token_hex(8),
        "name": name,
        "namespace": "remote",
        "start_time": time.time(),
        "sql": {"sanitized_query": " ".join(sql.split()), "database_type": "PostgreSQL"},
    }
    try:
        yield
    except Exception:
        part["fault"] = True
        raise
    finally:
        part["end_time"] = time.time()
        segment.document["subsegments"].append(part)
