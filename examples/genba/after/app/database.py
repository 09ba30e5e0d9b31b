"""The database, by a pool with a maximum open, a maximum idle time and a maximum lifetime."""

import os
import time
from contextlib import contextmanager

import psycopg
import tracing
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

MAX_OPEN = int(os.environ.get("DB_MAX_OPEN", "8"))
MAX_IDLE_S = float(os.environ.get("DB_MAX_IDLE_S", "60"))
MAX_LIFETIME_S = float(os.environ.get("DB_MAX_LIFETIME_S", "900"))
WAIT_S = float(os.environ.get("DB_WAIT_S", "5"))


class Unavailable(Exception):
    """The database could not be reached in time."""


class Database:
    def __init__(self, url):
        self._pool = ConnectionPool(
            url,
            min_size=2,
            max_size=MAX_OPEN,
            max_idle=MAX_IDLE_S,
            max_lifetime=MAX_LIFETIME_S,
            timeout=WAIT_S,
            reconnect_timeout=60,
            # A connection that a failover broke is noticed before it is handed out.
            check=ConnectionPool.check_connection,
            # After a failover the old writer answers again, as a reader: not good enough.
            kwargs={
                "row_factory": dict_row,
                "target_session_attrs": "read-write",
                "connect_timeout": 2,
            },
            open=True,
        )

    def close(self):
        self._pool.close()

    def read(self, work):
        """Run `work(query)`; once more on a new connection if the first one broke."""
        for attempt in (1, 2):
            try:
                with self.transaction() as query:
                    return work(query)
            except psycopg.OperationalError as error:
                if attempt == 2:
                    raise Unavailable(str(error)) from error
                time.sleep(0.05)
        raise AssertionError

    @contextmanager
    def transaction(self):
        try:
            with self._pool.connection() as connection, connection.transaction():

                def query(sql, *values):
                    with tracing.subsegment("genba", sql):
                        return connection.execute(sql, values)

                yield query
        except PoolTimeout as error:
            raise Unavailable(str(error)) from error
