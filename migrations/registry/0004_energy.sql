-- What was counted over all resets, gaps and days. Applied once, never edited: what comes later is another file.

-- The account of one counter, one integrated power, or one period of a counter. Not tied to `entity`: a scan knows nothing
-- of those that Busbar works out.
CREATE TABLE account (
    device_id   TEXT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    key         TEXT NOT NULL,
    -- What the counter said last; of an integrated power, all that was counted; of a period, the counter's total when
    -- this was booked.
    last        REAL NOT NULL,
    -- What was counted before the counter's last new beginning; of a period, what was counted in it.
    carried     REAL NOT NULL,
    -- The serial number of the device that counted; '' when another one was put in its place since.
    serial      TEXT,
    -- Which period it is (`2026-12-01`, `2026-12`), for one that has an end.
    period      TEXT,
    -- For how long nothing could be counted, in milliseconds.
    left_out_ms INTEGER NOT NULL DEFAULT 0,
    at_ms       INTEGER NOT NULL,
    PRIMARY KEY (device_id, key)
) STRICT, WITHOUT ROWID;

-- Where an account went on over a counter that began anew, as evidence.
CREATE TABLE stitch (
    device_id  TEXT NOT NULL,
    key        TEXT NOT NULL,
    at_ms      INTEGER NOT NULL,
    from_value REAL NOT NULL,
    to_value   REAL NOT NULL,
    carried    REAL NOT NULL,
    why        TEXT NOT NULL CHECK (why IN ('reset', 'wrap', 'replaced')),
    PRIMARY KEY (device_id, key, at_ms),
    FOREIGN KEY (device_id, key) REFERENCES account (device_id, key) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
