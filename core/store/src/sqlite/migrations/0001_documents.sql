-- The state: one row of counters, and the documents.
CREATE TABLE meta (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    serial  INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    cluster TEXT
) STRICT;
INSERT INTO meta (id, serial, epoch) VALUES (1, 0, 0);

-- A table with rowids and a separate index of names: where a page of bodies is damaged, the index still knows the names.
CREATE TABLE record (
    id      INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL,
    key     TEXT NOT NULL,
    version INTEGER NOT NULL,
    serial  INTEGER NOT NULL,
    body    TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX record_name ON record (kind, key);
