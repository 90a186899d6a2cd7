-- Records that could not be understood. The body keeps its bytes, whatever they are.
CREATE TABLE quarantine (
    kind     TEXT NOT NULL,
    key      TEXT NOT NULL,
    version  INTEGER NOT NULL,
    serial   INTEGER NOT NULL,
    body     ANY NOT NULL,
    why      TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT;
