-- What writing to devices needs: what the owner approved, and what was done. Applied once, never edited: what comes
-- later is another file.

-- Entities that may be written, each with the device that it was approved for. `fingerprint` is the host's: whatever
-- must still be the same for the approval to hold.
CREATE TABLE approval (
    device_id   TEXT NOT NULL,
    key         TEXT NOT NULL,
    serial      TEXT,
    firmware    TEXT,
    fingerprint TEXT NOT NULL,
    approved_ms INTEGER NOT NULL,
    PRIMARY KEY (device_id, key),
    FOREIGN KEY (device_id, key) REFERENCES entity (device_id, key)
) STRICT, WITHOUT ROWID;

-- What was to be written, what came of it, what was refused: one row each, never changed. `seq` has no gaps. `hash` is
-- the SHA-256 of "busbar audit 1" and a zero byte, then of each column before it in the order that stands here, then of
-- `prev_hash`; each as one byte (0 null, 1 integer, 2 text, 3 blob) and, for an integer, its 8 bytes, for text and blob
-- the length as 8 bytes and the bytes; all big-endian. `prev_hash` is the hash of the row before, 32 zero bytes in the
-- first. Words are big-endian, as on the wire.
CREATE TABLE audit (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms          INTEGER NOT NULL,
    kind           TEXT NOT NULL,
    intent         INTEGER CHECK (intent < seq),
    who            TEXT NOT NULL,
    through        TEXT NOT NULL,
    entity         TEXT,
    device         TEXT,
    unit_id        INTEGER CHECK (unit_id BETWEEN 0 AND 255),
    function       INTEGER CHECK (function BETWEEN 0 AND 255),
    at             INTEGER CHECK (at BETWEEN 0 AND 65535),
    old            TEXT,
    wanted         TEXT,
    words          BLOB NOT NULL CHECK (length(words) % 2 = 0),
    safe_words     BLOB NOT NULL CHECK (length(safe_words) % 2 = 0),
    lease_until_ms INTEGER,
    outcome        TEXT,
    reason         TEXT,
    prev_hash      BLOB NOT NULL CHECK (length(prev_hash) = 32),
    hash           BLOB NOT NULL CHECK (length(hash) = 32),
    CHECK ((kind = 'outcome') = (intent IS NOT NULL))
) STRICT;

CREATE INDEX audit_by_entity ON audit (entity, seq);
CREATE INDEX audit_intent ON audit (entity, at_ms) WHERE kind = 'intent';
CREATE INDEX audit_outcome ON audit (intent) WHERE intent IS NOT NULL;

-- The oldest rows may go, those up to the anchor: `audit_anchor` in `meta`, {"seq": …, "hash": …} of the last row that
-- went, from which the chain is verified. No anchor: none went.
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never changed');
END;

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
WHEN OLD.seq > ifnull((SELECT value ->> 'seq' FROM meta WHERE key = 'audit_anchor'), 0)
BEGIN
    SELECT RAISE(ABORT, 'audit rows above the anchor are never removed');
END;

-- Also against INSERT OR REPLACE, which fires no trigger for what it deletes.
CREATE TRIGGER audit_is_appended BEFORE INSERT ON audit
WHEN NEW.seq <= ifnull((SELECT max(seq) FROM audit), 0)
BEGIN
    SELECT RAISE(ABORT, 'audit rows are only appended');
END;
