"""genba: reports, their items, photos and approvals, over HTTP."""

import json
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import reports
import tracing
from database import Database, Unavailable

PORT = int(os.environ.get("PORT", "8080"))
# How long a stopping task goes on answering: the load balancer needs to hear of it first.
DRAIN_S = float(os.environ.get("DRAIN_S", "2"))

ROUTES = [
    ("GET", re.compile(r"^/health$"), reports.health),
    ("GET", re.compile(r"^/reports$"), reports.list_reports),
    ("POST", re.compile(r"^/reports$"), reports.create_report),
    ("GET", re.compile(r"^/reports/(\d+)$"), reports.read_report),
    ("POST", re.compile(r"^/reports/(\d+)/approve$"), reports.approve_report),
    ("POST", re.compile(r"^/reports/(\d+)/items/(\d+)/check$"), reports.check_item),
    ("GET", re.compile(r"^/photos/(\d+)$"), reports.read_photo),
    ("GET", re.compile(r"^/sites/(\d+)/summary$"), reports.summarise_site),
]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "genba"
    # One write for headers and body: without it every answer waits for the peer's delayed ACK.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        self._answer()

    def do_POST(self):
        self._answer()

    def _answer(self):
        started = time.time()
        parts = urlsplit(self.path)
        trace = tracing.begin(self.headers.get("X-Amzn-Trace-Id"), self.command, self.path, started)
        status, body = self._dispatch(parts)
        payload = json.dumps(body, separators=(",", ":"), default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        if self.server.is_stopping:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(payload)
        ended = time.time()
        trace.end(status, ended)
        if parts.path != "/health":
            log(
                "request",
                method=self.command,
                path=self.path,
                status=status,
                ms=round((ended - started) * 1000, 1),
                trace_id=trace.trace_id,
            )

    def _dispatch(self, parts):
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        handle, match = find_route(self.command, parts.path)
        if handle is None:
            return 404, {"error": "not found"}
        try:
            body = json.loads(raw) if raw else {}
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            numbers = [int(n) for n in match.groups()]
            return handle(self.server.database, numbers, query, body)
        except reports.NotFound:
            return 404, {"error": "not found"}
        except (ValueError, KeyError) as error:
            return 400, {"error": str(error)}
        except Unavailable as error:
            log("unavailable", error=str(error))
            return 503, {"error": "the database is not available"}
        except Exception as error:
            log("failed", error=f"{type(error).__name__}: {error}")
            return 500, {"error": "internal error"}

    def log_message(self, *_):
        pass


def find_route(method, path):
    for wanted, pattern, handle in ROUTES:
        match = pattern.match(path)
        if match and wanted == method:
            return handle, match
    return None, None


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address, database):
        super().__init__(address, Handler)
        self.database = database
        self.is_stopping = False

    def handle_error(self, request, client_address):
        # A client that goes away is no event; anything else is.
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            log("broken", error=f"{type(error).__name__}: {error}")


def log(event, **fields):
    print(json.dumps({"time": round(time.time(), 3), "event": event, **fields}), flush=True)


def main():
    database = Database(os.environ["DATABASE_URL"])
    server = Server(("0.0.0.0", PORT), database)

    def stop(*_):
        server.is_stopping = True
        threading.Timer(DRAIN_S, server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log("listening", port=PORT)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    serving.start()
    serving.join()
    server.server_close()
    database.close()
    log("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
