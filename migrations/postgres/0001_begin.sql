-- Readings in PostgreSQL, for those who outgrow one machine. Everything lies in the schema `busbar`. Applied once, never
-- edited: what comes later is another file.

-- What entities are: a number for each, so that a reading takes little room, and what they were called last.
CREATE TABLE entity (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity     TEXT NOT NULL UNIQUE,
    device     TEXT NOT NULL,
    key        TEXT NOT NULL,
    name       TEXT NOT NULL,
    unit       TEXT,
    class      TEXT,
    ledger     TEXT NOT NULL,
    connection TEXT NOT NULL,
    unit_id    INTEGER NOT NULL
);

-- What they said. One row for a moment of an entity: what is told twice is there once. `value` is a number, `text` a
-- text, or what a number of an enumeration means; both are NULL where nothing is known.
CREATE TABLE reading (
    time      TIMESTAMPTZ NOT NULL,
    entity_id BIGINT NOT NULL REFERENCES entity (id),
    value     DOUBLE PRECISION,
    text      TEXT,
    quality   TEXT NOT NULL,
    PRIMARY KEY (entity_id, time)
);

CREATE INDEX reading_time ON reading (time);

-- For people and Grafana: names instead of numbers.
CREATE VIEW readings AS
    SELECT r.time, e.entity, e.device, e.key, e.name, e.unit, e.class, e.connection, r.value, r.text, r.quality
    FROM reading r JOIN entity e ON e.id = r.entity_id;
