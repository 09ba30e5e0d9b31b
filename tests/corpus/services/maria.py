"""The corpus's service on Aurora MySQL: sound, but for the defect that PLANTED names. PyMySQL, with
a pool of its own: a queue of open connections."""

import json
import os
import queue
import signal
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pymysql

PLANTED = os.environ.get("PLANTED", "")
POOL = int(os.environ.get("POOL", "6"))
DRAIN_S = 1.0

turns = 0
counting = threading.Lock()
is_stopping = False


def connect():
    url = urlsplit(os.environ["DATABASE_URL"])
    return pymysql.connect(
        host=url.hostname, port=url.port, user=unquote(url.username or ""),
        password=unquote(url.password or ""), database=url.path.strip("/"), connect_timeout=5,
        read_timeout=20, autocommit=False,
    )  # fmt: skip


def kept(connection):
    """After a failure: the connection if it still answers, without its transaction."""
    if connection is not None:
        try:
            connection.rollback()
        except pymysql.MySQLError:
            connection.close()
            return None
    return connection


class Pool:
    """At most POOL connections, each opened when it is first needed and then kept."""

    def __init__(self):
        self.places = queue.LifoQueue()
        for _ in range(POOL):
            self.places.put(None)

    @contextmanager
    def connection(self):
        found = self.places.get(timeout=8)
        try:
            if found is None:
                found = connect()
            yield found
            found.commit()
        except BaseException:
            found = kept(found)
            raise
        finally:
            self.places.put(found)


@contextmanager
def transaction():
    if PLANTED != "opens-a-connection-for-each-request":
        with pool.connection() as connection:
            yield connection
        return
    connection = connect()
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


pool = Pool()


def ask(connection, statement, values=()):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def list_rows():
    with transaction() as connection:
        rows = ask(connection, "SELECT id, title FROM reports ORDER BY id LIMIT 20")
        ids = tuple(row[0] for row in rows)
        if PLANTED == "repeats-a-query-for-each-row":
            for one in ids:
                ask(connection, "SELECT label FROM items WHERE report_id = %s", (one,))
        else:
            ask(connection, "SELECT label FROM items WHERE report_id IN %s", (ids,))
        if PLANTED == "holds-connections-idle-in-transaction":
            time.sleep(0.8)
        table = "plain_events" if PLANTED == "scans-a-table-for-a-few-rows" else "events"
        ask(connection, f"SELECT id, kind FROM {table} WHERE account = %s", (17,))
    return {"rows": len(rows)}


def touch():
    global turns
    with counting:
        turns += 1
        turn = turns
    if PLANTED == "deadlocks-under-load":
        first, second = (1, 2) if turn % 2 else (2, 1)
    else:
        first, second = 10 + turn % 40, 60 + turn % 40
    with transaction() as connection:
        ask(connection, "UPDATE counters SET n = n + 1 WHERE id = %s", (first,))
        if PLANTED == "deadlocks-under-load":
            time.sleep(0.15)
        if PLANTED == "holds-locks-long":
            ask(connection, "UPDATE counters SET n = n + 1 WHERE id = 5")
            ask(connection, "SELECT SLEEP(0.6)")
        ask(connection, "UPDATE counters SET n = n + 1 WHERE id = %s", (second,))
    return {"ok": True}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, body = 200, {"ok": True}
        try:
            if self.path != "/health":
                body = list_rows() if self.command == "GET" else touch()
        except Exception as error:
            status, body = 500, {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps({"status": status} | body), flush=True)
        payload = json.dumps(body).encode()
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


def main():
    server = Server(("0.0.0.0", 8080), Handler)

    def stop(*_):
        global is_stopping
        is_stopping = True
        threading.Timer(DRAIN_S, server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    serving.start()
    serving.join()
    os._exit(0)


if __name__ == "__main__":
    main()
