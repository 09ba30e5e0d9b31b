"""Lines that containers wrote against records that arrived: what was lost, doubled or cut."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window

# Each line that arrived, as it was written. A group of CloudWatch Logs has lines as they are,
# several to a message where `awslogs-multiline-pattern` joins them; what took records has a line in
# one of three fields.
_ARRIVED = """
    (SELECT destination, record,
            unnest(CASE WHEN destination LIKE 'logs:%'
                        THEN string_split(rtrim(record, chr(10)), chr(10))
                        ELSE [coalesce(json_extract_string(object, '$.message'),
                                       json_extract_string(object, '$.log'),
                                       json_extract_string(object, '$.msg'))] END) AS line,
            object
     FROM (SELECT coalesce(destination, '') AS destination, record,
                  CASE WHEN json_valid(record) THEN record END AS object FROM delivered_logs))"""
_SHAPE = r"regexp_replace(line, '[0-9a-fA-F-]*[0-9][0-9a-fA-F-]*', '#', 'g')"


@dataclass(frozen=True, slots=True)
class Loss:
    """Of the lines of one container that a destination takes: how many were written and never
    came, and one of them."""

    container: str
    written: int
    lost: int
    sample: str


@dataclass(frozen=True, slots=True)
class Doubling:
    destination: str
    lines: int
    doubled: int
    sample: str


@dataclass(frozen=True, slots=True)
class Split:
    """Records that are pieces of one line; longest in characters."""

    destination: str
    pieces: int
    longest: int


@dataclass(frozen=True, slots=True)
class Counters:
    task: str
    container: str
    accepted: int
    dropped: int


def losses(store: EvidenceStore, windows: tuple[Window, ...]) -> list[Loss]:
    """Within the windows, of tasks in which no container had ended unasked before the line.

    A line counts as lost when it never came although lines of its shape (numbers taken out) do:
    what a filter leaves out on purpose, it leaves out by its shape.
    """
    found: list[Loss] = []
    for window in windows:
        rows = store.rows(
            f"""
            WITH written AS (
                SELECT l.container, l.line, {_SHAPE} AS shape, count(*) AS n
                FROM logs l LEFT JOIN (
                    SELECT task, min(t) AS t FROM container_ends
                    WHERE t_signalled IS NULL GROUP BY task) x ON x.task = l.task
                WHERE l.t BETWEEN ? AND ? AND l.stream <> 'left_out' AND trim(l.line) <> ''
                  AND length(l.line) < 16000 AND (x.t IS NULL OR x.t > l.t + 1)
                GROUP BY l.container, l.line
            ), come AS (
                SELECT line, count(*) AS n FROM {_ARRIVED} GROUP BY 1
            ), judged AS (
                SELECT w.*, greatest(0, w.n - coalesce(c.n, 0)) AS lost
                FROM written w LEFT JOIN come c ON rtrim(c.line, chr(10)) = w.line
            ), taken AS (
                SELECT container, shape FROM judged GROUP BY container, shape
                HAVING sum(n - lost) > 0
            )
            SELECT j.container, CAST(sum(j.n) AS BIGINT), CAST(sum(j.lost) AS BIGINT),
                   coalesce(min(j.line) FILTER (j.lost > 0), '')
            FROM judged j JOIN taken USING (container, shape) GROUP BY j.container
            """,
            [window.t_start, window.t_end],
        )
        found += [Loss(*row) for row in rows]
    return found


def doublings(store: EvidenceStore, windows: tuple[Window, ...]) -> list[Doubling]:
    """Lines that one destination got more often than they were written, in the windows."""
    found: list[Doubling] = []
    for window in windows:
        rows = store.rows(
            f"""
            WITH written AS (
                SELECT line, count(*) AS n FROM logs
                WHERE stream <> 'left_out' AND trim(line) <> '' GROUP BY line
                HAVING min(t) >= ? AND max(t) <= ?
            ), come AS (
                SELECT destination, line, count(*) AS n FROM {_ARRIVED} GROUP BY 1, 2
            )
            SELECT c.destination, count(*), count(*) FILTER (c.n > w.n),
                   coalesce(min(w.line) FILTER (c.n > w.n), '')
            FROM written w JOIN come c ON rtrim(c.line, chr(10)) = w.line GROUP BY c.destination
            """,
            [window.t_start, window.t_end],
        )
        found += [Doubling(*row) for row in rows]
    return found


def splits(store: EvidenceStore, piece: int, event: int) -> list[Split]:
    """Records that say they are a part, or that have exactly the length at which lines are cut:
    `event` where awslogs brings them, `piece` elsewhere; the streams of a log group are one
    destination."""
    rows = store.rows(
        f"""
        SELECT regexp_extract(destination, '^(logs:[^:]*|.*)', 1), count(*), max(length(line))
        FROM {_ARRIVED}
        WHERE json_extract_string(object, '$.partial_message') IS NOT NULL
           OR json_extract_string(object, '$.partial_id') IS NOT NULL
           OR strlen(line) = CASE WHEN destination LIKE 'logs:%' THEN ? ELSE ? END
        GROUP BY 1 ORDER BY 1
        """,
        [event, piece],
    )
    return [Split(str(name), int(count), int(longest or 0)) for name, count, longest in rows]


def longest_line(store: EvidenceStore) -> int | None:
    row = store.rows("SELECT max(length(line)) FROM logs WHERE stream <> 'left_out'")[0]
    return int(row[0]) if row[0] is not None else None


def counters(store: EvidenceStore) -> list[Counters]:
    """The log driver's own, up to the moment at which a container of the task ended unasked: what
    it drops after its router was killed is that fault's doing. One that had ended before the first
    trial did so by itself."""
    rows = store.rows(
        """
        SELECT coalesce(c.task, ''), coalesce(c.container, ''), max(c.accepted), max(c.dropped)
        FROM log_counters c LEFT JOIN (
            SELECT task, min(t) AS t FROM container_ends
            WHERE t_signalled IS NULL GROUP BY task) x ON x.task = c.task
        WHERE x.t IS NULL OR c.t < x.t OR x.t < (SELECT min(t_start) FROM trials)
        GROUP BY 1, 2 ORDER BY 4 DESC, 1
        """
    )
    return [Counters(*row) for row in rows]


def pauses(store: EvidenceStore, windows: tuple[Window, ...]) -> dict[str, int]:
    """Container → how often it said, in the windows, that an input was paused for want of memory:
    Fluent Bit's words, and the built-in router's."""
    found: dict[str, int] = {}
    for window in windows:
        rows = store.rows(
            """
            SELECT container, count(*) FROM logs
            WHERE t BETWEEN ? AND ? AND container IS NOT NULL
              AND regexp_matches(line, 'paused \\(mem buf overlimit') GROUP BY container
            """,
            [window.t_start, window.t_end],
        )
        for container, count in rows:
            found[container] = found.get(container, 0) + count
    return found


def lines_a_second(store: EvidenceStore, container: str, window: Window) -> float:
    row = store.rows(
        "SELECT count(*) FROM logs WHERE container = ? AND t BETWEEN ? AND ?",
        [container, window.t_start, window.t_end],
    )[0]
    return float(row[0]) / window.length_s if window.length_s > 0 else 0.0


def why_nowhere(store: EvidenceStore) -> tuple[str, bool] | None:
    """Where no record came at all: (why, whether one had to come). None when some did."""
    if store.has_rows("delivered_logs"):
        return None
    if store.meta().get("log_destination"):
        return "no record reached the destination", True
    return "the router's own file sends the logs where this machine cannot see them", False
