-- What was decided and why, where there was something to decide; and the ways into the log.
ALTER TABLE log ADD COLUMN decision TEXT;
ALTER TABLE log ADD COLUMN verb TEXT GENERATED ALWAYS AS
    (CASE WHEN json_valid(command) AND json_type(command, '$.command') = 'text' THEN json_extract(command, '$.command') END) VIRTUAL;
CREATE INDEX log_time ON log (time_ms);
CREATE INDEX log_actor ON log (actor);
CREATE INDEX log_origin ON log (origin);
CREATE INDEX log_verb ON log (verb);

-- Each version of each record, in the order of the serials that wrote them; without a body: the record was deleted.
CREATE TABLE history (
    id      INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL,
    key     TEXT NOT NULL,
    serial  INTEGER NOT NULL,
    version INTEGER NOT NULL,
    sum     INTEGER NOT NULL,
    body    TEXT
) STRICT;
CREATE UNIQUE INDEX history_name ON history (kind, key, serial);

-- Which records there must be, with the serial and the check value of the version that counts.
-- Apart from the history, so that a start reads no more of it than there are records.
CREATE TABLE ledger (
    kind   TEXT NOT NULL,
    key    TEXT NOT NULL,
    serial INTEGER NOT NULL,
    sum    INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
-- 1 from when the ledger and the history hold every record.
ALTER TABLE meta ADD COLUMN ledger INTEGER NOT NULL DEFAULT 0;
