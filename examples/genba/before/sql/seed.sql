-- The same rows every time: everything is computed from the row's number.
INSERT INTO sites SELECT n, 'Site ' || n FROM generate_series(1, 30) n;
INSERT INTO people SELECT n, 'Inspector ' || n FROM generate_series(1, 40) n;
INSERT INTO reports (id, site_id, author_id, title, status, created_at)
SELECT n, 1 + n % 30, 1 + n % 40, 'Inspection ' || n,
       CASE WHEN n % 5 = 0 THEN 'approved' ELSE 'open' END,
       timestamptz '2020-11-01 08:00:00+09' + n * interval '7 minutes'
FROM generate_series(1, 2000) n;
INSERT INTO items (report_id, position, label, is_checked)
SELECT r, p, 'Check ' || p || ' of report ' || r, (r + p) % 3 = 0
FROM generate_series(1, 2000) r, generate_series(1, 8) p;
INSERT INTO photos (id, report_id, file, width, height)
SELECT n, 1 + n % 2000, 'photo-' || (1 + n % 4) || '.json', 4032, 3024
FROM generate_series(1, 4000) n;
UPDATE sites SET open_items = (
    SELECT count(*) FROM reports r JOIN items i ON i.report_id = r.id
    WHERE r.site_id = sites.id AND NOT i.is_checked
);
SELECT setval(pg_get_serial_sequence('reports', 'id'), 100000);
ANALYZE;
