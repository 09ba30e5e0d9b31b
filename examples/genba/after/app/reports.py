"""What genba does. A handler takes (database, path numbers, query, body), gives (status, body)."""

import json
from pathlib import Path

PHOTOS = Path(__file__).resolve().parent.parent / "photos"


class NotFound(Exception):
    pass


def health(database, numbers, query, body):
    # Whether this process answers, not whether the database does: a failover must not make the
    # load balancer throw away every task at once.
    return 200, {"ok": True}


def list_reports(database, numbers, query, body):
    limit = min(int(query.get("limit", 20)), 100)

    def work(run):
        return run(
            """
            SELECT r.id, r.title, r.status, p.name AS author,
                   count(i.position) AS items, count(i.position) FILTER (WHERE i.is_checked) AS done
            FROM (SELECT * FROM reports ORDER BY created_at DESC, id DESC LIMIT %s) r
            JOIN people p ON p.id = r.author_id
            LEFT JOIN items i ON i.report_id = r.id
            GROUP BY r.id, r.title, r.status, r.created_at, p.name
            ORDER BY r.created_at DESC, r.id DESC
            """,
            limit,
        ).fetchall()

    return 200, {"reports": database.read(work)}


def read_report(database, numbers, query, body):
    def work(run):
        report = run("SELECT * FROM reports WHERE id = %s", numbers[0]).fetchone()
        if report is None:
            raise NotFound
        items = run(
            "SELECT position, label, is_checked FROM items WHERE report_id = %s ORDER BY position",
            numbers[0],
        ).fetchall()
        photos = run(
            "SELECT id, file FROM photos WHERE report_id = %s ORDER BY id", numbers[0]
        ).fetchall()
        return {**report, "items": items, "photos": photos}

    return 200, database.read(work)


def create_report(database, numbers, query, body):
    title = str(body["title"])
    labels = [str(label) for label in body.get("items", [])][:50]
    with database.transaction() as run:
        made = run(
            "INSERT INTO reports (site_id, author_id, title) VALUES (%s, %s, %s) RETURNING id",
            int(body.get("site", 1)),
            int(body.get("author", 1)),
            title,
        ).fetchone()
        if labels:
            run(
                "INSERT INTO items (report_id, position, label)"
                " SELECT %s, n, label FROM unnest(%s::text[]) WITH ORDINALITY AS t (label, n)",
                made["id"],
                labels,
            )
    return 201, {"id": made["id"], "status": "open"}


def approve_report(database, numbers, query, body):
    with database.transaction() as run:
        site = lock_site(run, numbers[0])
        run(
            "UPDATE reports SET status = 'approved', approvals = approvals + 1 WHERE id = %s",
            numbers[0],
        )
        run("UPDATE sites SET open_items = greatest(open_items - 1, 0) WHERE id = %s", site)
    return 200, {"id": numbers[0], "status": "approved"}


def check_item(database, numbers, query, body):
    report, position = numbers
    with database.transaction() as run:
        site = lock_site(run, report)
        run(
            "UPDATE items SET is_checked = true WHERE report_id = %s AND position = %s",
            report,
            position,
        )
        run("UPDATE reports SET approvals = approvals WHERE id = %s", report)
        run("UPDATE sites SET open_items = greatest(open_items - 1, 0) WHERE id = %s", site)
    return 200, {"id": report, "item": position, "is_checked": True}


def lock_site(run, report):
    """Every change takes the site's row first, then the report's: one order for all."""
    found = run(
        "SELECT s.id FROM sites s JOIN reports r ON r.site_id = s.id WHERE r.id = %s"
        " FOR UPDATE OF s",
        report,
    ).fetchone()
    if found is None:
        raise NotFound
    return found["id"]


def read_photo(database, numbers, query, body):
    def work(run):
        return run(
            "SELECT id, file, width, height FROM photos WHERE id = %s", numbers[0]
        ).fetchone()

    photo = database.read(work)
    if photo is None:
        raise NotFound
    with (PHOTOS / photo["file"]).open() as exif, (PHOTOS / "rights.json").open() as rights:
        return 200, {**photo, "exif": json.load(exif), "rights": json.load(rights)}


def summarise_site(database, numbers, query, body):
    def work(run):
        return run(
            """
            SELECT count(DISTINCT r.id) AS reports, count(*) AS items,
                   count(*) FILTER (WHERE i.is_checked) AS done
            FROM reports r JOIN items i ON i.report_id = r.id WHERE r.site_id = %s
            """,
            numbers[0],
        ).fetchone()

    return 200, {"site": numbers[0], **database.read(work)}
