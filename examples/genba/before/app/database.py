"""The database: a connection is opened when it is needed, and closed afterwards."""

from contextlib import contextmanager

import psycopg
import tracing
from psycopg.rows import dict_row


class Unavailable(Exception):
    """The database could not be reached in time."""


class Database:
    def __init__(self, url):
        self._url = url

    def read(self, work):
        with self.transaction() as query:
            return work(query)

    @contextmanager
    def transaction(self):
        connection = psycopg.connect(self._url, row_factory=dict_row, connect_timeout=5)
        try:
            with connection.transaction():

                def query(sql, *values):
                    with tracing.subsegment("genba", sql):
                        return connection.execute(sql, values)

                yield query
        finally:
            connection.close()
