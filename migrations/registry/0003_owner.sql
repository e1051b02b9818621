-- What the owner says of the devices that were found. Applied once, never edited: what comes later is another file.

-- The owner's name for a device; `name` is what the device calls itself.
ALTER TABLE device ADD COLUMN own_name TEXT;

-- Devices that were put in the place of others: what a scan finds as `found_id` is `device_id`, whose ids, names and
-- history go on.
CREATE TABLE replacement (
    found_id  TEXT PRIMARY KEY,
    device_id TEXT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    CHECK (found_id <> device_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX replacement_by_device ON replacement (device_id);
