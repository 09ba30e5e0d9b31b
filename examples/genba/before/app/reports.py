"""What genba does. A handler takes (database, path numbers, query, body), gives (status, body)."""

import hashlib
import json
import time
from pathlib import Path

PHOTOS = Path(__file__).resolve().parent.parent / "photos"
# "So that a photo's file is opened only once", said the commit that added it.
_open_photos = []


class NotFound(Exception):
    pass


def health(database, numbers, query, body):
    return 200, {"ok": True}


def list_reports(database, numbers, query, body):
    limit = min(int(query.get("limit", 20)), 100)

    def work(run):
        found = run(
            "SELECT id, title, status, author_id FROM reports"
            " ORDER BY created_at DESC, id DESC LIMIT %s",
            limit,
        ).fetchall()
        for report in found:
            author = run(
                "SELECT name FROM people WHERE id = %s", report.pop("author_id")
            ).fetchone()
            counts = run(
                "SELECT count(*) AS items, count(*) FILTER (WHERE is_checked) AS done"
                " FROM items WHERE report_id = %s",
                report["id"],
            ).fetchone()
            report.update(author=author["name"], **counts)
        return found

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
        for position, label in enumerate(labels, 1):
            run(
                "INSERT INTO items (report_id, position, label) VALUES (%s, %s, %s)",
                made["id"],
                position,
                label,
            )
    return 201, {"id": made["id"], "status": "open"}


def approve_report(database, numbers, query, body):
    with database.transaction() as run:
        changed = run(
            "UPDATE reports SET status = 'approved', approvals = approvals + 1"
            " WHERE id = %s RETURNING site_id",
            numbers[0],
        ).fetchone()
        if changed is None:
            raise NotFound
        notify(changed["site_id"])
        run(
            "UPDATE sites SET open_items = greatest(open_items - 1, 0) WHERE id = %s",
            changed["site_id"],
        )
    return 200, {"id": numbers[0], "status": "approved"}


def check_item(database, numbers, query, body):
    report, position = numbers
    with database.transaction() as run:
        found = run("SELECT site_id FROM reports WHERE id = %s", report).fetchone()
        if found is None:
            raise NotFound
        run(
            "UPDATE sites SET open_items = greatest(open_items - 1, 0) WHERE id = %s",
            found["site_id"],
        )
        run(
            "UPDATE items SET is_checked = true WHERE report_id = %s AND position = %s",
            report,
            position,
        )
        notify(found["site_id"])
        run("UPDATE reports SET approvals = approvals WHERE id = %s", report)
    return 200, {"id": report, "item": position, "is_checked": True}


def notify(site):
    """Tells the site's channel; the outside service takes its time, inside the transaction."""
    time.sleep(0.03)


def read_photo(database, numbers, query, body):
    def work(run):
        return run(
            "SELECT id, file, width, height FROM photos WHERE id = %s", numbers[0]
        ).fetchone()

    photo = database.read(work)
    if photo is None:
        raise NotFound
    exif, rights = (PHOTOS / photo["file"]).open(), (PHOTOS / "rights.json").open()
    _open_photos.extend([exif, rights])
    return 200, {**photo, "exif": json.load(exif), "rights": json.load(rights)}


def summarise_site(database, numbers, query, body):
    def work(run):
        return run(
            "SELECT r.id, i.is_checked FROM reports r JOIN items i ON i.report_id = r.id"
            " WHERE r.site_id = %s",
            numbers[0],
        ).fetchall()

    rows = database.read(work)
    # A signature "so that the page can be cached": many rounds over every row.
    signature = hashlib.sha256()
    for _ in range(700):
        for row in rows:
            signature.update(f"{row['id']}:{row['is_checked']}".encode())
    return 200, {
        "site": numbers[0],
        "reports": len({row["id"] for row in rows}),
        "items": len(rows),
        "done": sum(row["is_checked"] for row in rows),
        "signature": signature.hexdigest(),
    }
