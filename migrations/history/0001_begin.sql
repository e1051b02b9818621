-- The history: what entities said, in the order of time. Applied once, never edited: what comes later is another file.

-- "BsHi": tells this file from another program's, readable without opening it.
PRAGMA application_id = 1114851433;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A number for each entity, of this file's own: the history stays true when the registry is restored or begun anew.
CREATE TABLE series (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    entity TEXT NOT NULL UNIQUE
) STRICT;

-- One row holds the samples of one moment. `at` is milliseconds since 1970 times 65536, plus a number that
-- tells apart what was stored for one millisecond: rows are appended, and a span of time is a span of rows.
-- `body` holds, for each sample in the order of its series: the difference of the series id to the one before
-- (base-128, low bits first, high bit: more follows), one byte (bits 0-2: 0 good, 1 stale, 2 invalid,
-- 3 unavailable; bits 3-4: 0 no value, 1 a 4-byte float, 2 an 8-byte float), the value, little-endian. The
-- 4-byte form is used where it is exact.
CREATE TABLE frame (
    at   INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
