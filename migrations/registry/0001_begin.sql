-- The registry: what was set up and what was found. Applied once, never edited: what comes later is another file.

-- "BsRg": tells this file from another program's, readable without opening it.
PRAGMA application_id = 1114853991;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE connection (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    url        TEXT NOT NULL,
    plugin     TEXT,
    options    TEXT NOT NULL CHECK (json_valid(options)),
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a connection's endpoint copes with (requests in flight, latency, …), as learned.
CREATE TABLE profile (
    connection_id TEXT PRIMARY KEY REFERENCES connection (id) ON DELETE CASCADE,
    body          TEXT NOT NULL CHECK (json_valid(body))
) STRICT, WITHOUT ROWID;

CREATE TABLE device (
    id            TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id),
    unit_id       INTEGER NOT NULL CHECK (unit_id BETWEEN 0 AND 255),
    ledger        TEXT NOT NULL,
    name          TEXT,
    model         TEXT,
    serial        TEXT,
    firmware      TEXT,
    lifecycle     TEXT NOT NULL CHECK (lifecycle IN ('new', 'active', 'missing', 'retired')),
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX device_by_connection ON device (connection_id);

-- An entity's id is `device_id.key`; a device id holds no dot. Rows lie device by device, as they are read.
CREATE TABLE entity (
    device_id     TEXT NOT NULL REFERENCES device (id),
    key           TEXT NOT NULL,
    at            INTEGER CHECK (at BETWEEN 0 AND 65535),
    function      INTEGER CHECK (function BETWEEN 1 AND 4),
    bit           INTEGER CHECK (bit BETWEEN 0 AND 63),
    status        TEXT NOT NULL CHECK (status IN ('present', 'unproven', 'absent')),
    lifecycle     TEXT NOT NULL CHECK (lifecycle IN ('new', 'active', 'missing', 'retired')),
    proof         TEXT,
    name          TEXT,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms  INTEGER NOT NULL,
    PRIMARY KEY (device_id, key)
) STRICT, WITHOUT ROWID;

-- The addresses that a device was seen to answer.
CREATE TABLE readable (
    device_id TEXT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    function  INTEGER NOT NULL CHECK (function BETWEEN 1 AND 4),
    at        INTEGER NOT NULL CHECK (at BETWEEN 0 AND 65535),
    count     INTEGER NOT NULL CHECK (count BETWEEN 1 AND 65536),
    PRIMARY KEY (device_id, function, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE scan (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    mode          TEXT NOT NULL,
    units         TEXT NOT NULL,
    started_ms    INTEGER NOT NULL,
    ended_ms      INTEGER,
    requests      INTEGER NOT NULL DEFAULT 0,
    exceptions    INTEGER NOT NULL DEFAULT 0,
    probed        INTEGER NOT NULL DEFAULT 0,
    possible      INTEGER NOT NULL DEFAULT 0,
    state         TEXT NOT NULL CHECK (state IN ('running', 'complete', 'cancelled', 'failed')),
    note          TEXT
) STRICT;

CREATE INDEX scan_by_connection ON scan (connection_id, id);

-- One probe and what came of it. `words` are big-endian, as on the wire.
CREATE TABLE evidence (
    scan_id   INTEGER NOT NULL REFERENCES scan (id) ON DELETE CASCADE,
    number    INTEGER NOT NULL,
    unit_id   INTEGER NOT NULL CHECK (unit_id BETWEEN 0 AND 255),
    function  INTEGER NOT NULL,
    at        INTEGER NOT NULL CHECK (at BETWEEN 0 AND 65535),
    count     INTEGER NOT NULL,
    outcome   TEXT NOT NULL CHECK (outcome IN ('words', 'exception', 'silent', 'broken')),
    exception INTEGER,
    words     BLOB NOT NULL,
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (scan_id, number)
) STRICT, WITHOUT ROWID;
