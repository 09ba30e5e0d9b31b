"""A small service, sound but for what PLANTED names; two ways: http.server, or Flask with FLASK=1.

GET /health, GET /list, POST /touch. Each planted defect is named after the rule that is to find it.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PLANTED = os.environ.get("PLANTED", "")
URL = os.environ.get("DATABASE_URL", "")
PORT = 8080
POOL = int(os.environ.get("POOL", "6"))
DRAIN_S = 2.0

kept, opened, in_flight = [], [], 0
gate, serial, counting = threading.BoundedSemaphore(4), threading.Lock(), threading.Lock()
is_stopping = False


def is_planted(name):
    return name == PLANTED


class Database:
    def __init__(self):
        import psycopg
        import psycopg_pool

        self.psycopg, self.url = psycopg, URL + "?connect_timeout=2"
        self.lock = threading.Lock()
        self.only = None
        if is_planted("caches-dns-past-failover"):
            host = URL.rpartition("@")[2].partition(":")[0]
            self.url += "&hostaddr=" + socket.gethostbyname(host)
        elif not is_planted("retries-without-limit"):
            self.url += "&target_session_attrs=read-write"
        if is_planted("does-not-reconnect-after-failover"):
            self.only = psycopg.connect(self.url)
        elif not self.is_unpooled():
            size = {"approaches-the-connection-limit": 24, "waits-for-the-pool": 2}.get(
                PLANTED, POOL
            )
            self.pool = psycopg_pool.ConnectionPool(
                self.url, min_size=size if size > POOL else 2, max_size=size, timeout=8,
                check=psycopg_pool.ConnectionPool.check_connection, open=True,
                reconnect_timeout=60,
            )  # fmt: skip

    def is_unpooled(self):
        return PLANTED in ("opens-a-connection-for-each-request", "retries-without-limit")

    @contextmanager
    def transaction(self):
        if self.only is not None:
            with self.lock, self.only.transaction():
                yield self.only
        elif self.is_unpooled():
            with self.connect() as connection:
                yield connection
        else:
            with self.pool.connection() as connection:
                yield connection

    def connect(self):
        while True:
            try:
                return self.psycopg.connect(self.url)
            except self.psycopg.OperationalError:
                if not is_planted("retries-without-limit"):
                    raise

    def run(self, work):
        """Once more, on another connection, if the first one broke."""
        for attempt in (1, 2, 3):
            try:
                with self.transaction() as connection:
                    return work(connection)
            except self.psycopg.OperationalError:
                if attempt == 3 or self.only is not None:
                    raise
                time.sleep(0.1 * attempt)
        raise AssertionError


def list_rows():
    spoil()
    if not URL:
        time.sleep(0.005)
        return {"rows": []}

    def work(connection):
        rows = connection.execute("SELECT id, title FROM reports ORDER BY id LIMIT 20").fetchall()
        if is_planted("repeats-a-query-for-each-row"):
            for row in rows:
                connection.execute("SELECT label FROM items WHERE report_id = %s", row[:1])
        else:
            ids = [row[0] for row in rows]
            connection.execute("SELECT label FROM items WHERE report_id = ANY(%s)", (ids,))
        if is_planted("holds-connections-idle-in-transaction"):
            time.sleep(0.8)
        if is_planted("waits-for-the-pool"):
            connection.execute("SELECT pg_sleep(0.3)")
        table = "plain_events" if is_planted("scans-a-table-for-a-few-rows") else "events"
        connection.execute(f"SELECT id, kind FROM {table} WHERE account = %s", (17,)).fetchall()
        return {"rows": len(rows)}

    return database.run(work)


def touch():
    spoil()
    if not URL:
        return {"ok": True}
    turn = next_turn()

    def work(connection):
        if is_planted("deadlocks-under-load"):
            first, second = (1, 2) if turn % 2 else (2, 1)
        else:
            first, second = 10 + turn % 40, 60 + turn % 40
        connection.execute("UPDATE counters SET n = n + 1 WHERE id = %s", (first,))
        if is_planted("deadlocks-under-load"):
            time.sleep(0.15)
        if is_planted("holds-locks-long"):
            connection.execute("UPDATE counters SET n = n + 1 WHERE id = 5")
            connection.execute("SELECT pg_sleep(0.6)")
        connection.execute("UPDATE counters SET n = n + 1 WHERE id = %s", (second,))
        return {"ok": True}

    return database.run(work)


turns = 0


def next_turn():
    global turns
    with counting:
        turns += 1
        return turns


def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def spoil():
    """The defects that need no database."""
    if is_planted("saturates-task-cpu"):
        burn(0.03)
    if is_planted("is-throttled"):
        burn(0.04)
    if is_planted("grows-in-memory"):
        kept.append(bytearray(b"x" * 400_000))
    if is_planted("is-killed-for-memory"):
        kept.append(bytearray(b"x" * 12_000_000))
    if PLANTED in ("leaks-file-descriptors", "runs-out-of-file-descriptors"):
        opened.append(os.open("/dev/null", os.O_RDONLY))
    if is_planted("splits-long-lines"):
        print(json.dumps({"event": "large", "body": "y" * 40_000}), flush=True)
    if is_planted("drops-requests-on-stop"):
        time.sleep(0.05)
    if is_planted("queues-without-bound"):
        with serial:
            time.sleep(0.05)
    if is_planted("collapses-past-the-knee"):
        crowd = in_flight
        with serial:
            time.sleep(0.008 + 0.004 * crowd)
    if PLANTED == "" and os.environ.get("BOUNDED"):
        if not gate.acquire(timeout=0.2):
            raise Busy
        try:
            time.sleep(0.04)
        finally:
            gate.release()


class Busy(Exception):
    pass


def answer(method, path):
    """(status, body)."""
    global in_flight
    if path == "/health":
        if is_planted("fails-health-when-the-database-does"):
            with database.psycopg.connect(database.url, connect_timeout=1) as connection:
                connection.execute("SELECT 1")
        return 200, {"ok": True}
    with counting:
        in_flight += 1
    try:
        return 200, list_rows() if method == "GET" else touch()
    except Busy:
        return 503, {"error": "busy"}
    finally:
        with counting:
            in_flight -= 1


def answered(method, path):
    started = time.time()
    try:
        status, body = answer(method, path)
    except Exception as error:
        status, body = 500, {"error": f"{type(error).__name__}: {error}"}
    if path != "/health":
        ms = round((time.time() - started) * 1000, 1)
        line = {"time": time.time_ns(), "path": path, "status": status, "ms": ms}
        if status >= 500:
            line |= body
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    return status, json.dumps(body).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, payload = answered(self.command, self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        if is_stopping:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(payload)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def flask_server(host):
    from flask import Flask, Response
    from werkzeug.serving import WSGIRequestHandler, make_server

    application = Flask("corpus")

    @application.route("/<path:name>", methods=["GET", "POST"])
    def any_path(name):
        from flask import request

        status, payload = answered(request.method, "/" + name)
        headers = {"Connection": "close"} if is_stopping else {}
        return Response(payload, status, headers)

    class Quiet(WSGIRequestHandler):
        def log(self, *_):
            pass

    return make_server(host, PORT, application, threaded=True, request_handler=Quiet)


def main():
    global database
    if URL:
        database = Database()
    if is_planted("starts-slower-than-its-health-check"):
        time.sleep(12)
    host = "127.0.0.1" if is_planted("binds-localhost") else "0.0.0.0"
    server = flask_server(host) if os.environ.get("FLASK") else Server((host, PORT), Handler)

    def stop(*_):
        global is_stopping
        is_stopping = True
        if is_planted("drops-requests-on-stop"):
            os._exit(0)
        threading.Timer(DRAIN_S, server.shutdown).start()

    if not is_planted("ignores-sigterm"):
        signal.signal(signal.SIGTERM, stop)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    serving.start()
    serving.join()
    os._exit(0)


if __name__ == "__main__":
    main()
