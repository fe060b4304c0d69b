-- The file of a queue: the log of events, and what differs from it for each consumer.
--
-- Times are microseconds since 1970. A consumer is who takes events from the queue. An
-- event and its body are stored once, whoever takes them.

PRAGMA page_size = 4096;
PRAGMA application_id = 0x69677175; -- "igqu"

-- What there is one of: 'last', the highest number given so far; 'session', a random
-- name for each time that the file was opened; 'open', 1 until it is closed in order.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('last', 0), ('session', ''), ('open', 0);

-- What the events of one delivery share. Its id is that of its first event; events is
-- how many it had. It goes with the last of them.
CREATE TABLE delivery (
    id     INTEGER PRIMARY KEY,
    events INTEGER NOT NULL,
    url    TEXT NOT NULL,
    origin TEXT NOT NULL,
    secret TEXT NOT NULL -- the name of the app secret, never the secret
);

-- The log: rows are added, and removed once no consumer needs them, but do not change,
-- unless they are erased: then the body and the signature are empty.
CREATE TABLE event (
    id           INTEGER PRIMARY KEY, -- rises with the acceptance, is never used again
    accepted     INTEGER NOT NULL,
    identity     TEXT NOT NULL,
    not_unique   INTEGER NOT NULL, -- 1: others have this identity, too
    field        TEXT NOT NULL,
    account      TEXT NOT NULL,
    conversation TEXT NOT NULL,    -- events of one must not overtake each other; '': may
    delivery     INTEGER NOT NULL,
    consumers    INTEGER NOT NULL, -- who gets it: the consumer 1 is bit 0, and so on
    signature    BLOB NOT NULL,
    body         BLOB NOT NULL
);

CREATE TABLE consumer (
    id            INTEGER PRIMARY KEY, -- 1 to 63
    name          TEXT UNIQUE,         -- NULL: dropped, but some of what it had is still here
    paused        INTEGER NOT NULL DEFAULT 0,
    mark          INTEGER NOT NULL, -- events up to this one have a status row, or are nothing to it
    kept_until    INTEGER NOT NULL, -- events up to this one are for it if it wants their field
    kept_fields   TEXT NOT NULL,    -- which are these: ' comments messages ', or '' for all
    pending       INTEGER NOT NULL, -- events, with and without a status row
    pending_bytes INTEGER NOT NULL, -- of their bodies
    dead          INTEGER NOT NULL DEFAULT 0,
    delivered     INTEGER NOT NULL DEFAULT 0
);

-- Which events wait for each other: those of a conversation or an account, or none. It
-- counts for events after the number since.
CREATE TABLE ordering (
    consumer INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    PRIMARY KEY (consumer, since)
) WITHOUT ROWID;

-- What became of an event for a consumer. There is a row only once something happened:
-- an event above the mark that has none waits and was never tried.
CREATE TABLE status (
    consumer INTEGER NOT NULL,
    event    INTEGER NOT NULL,
    state    INTEGER NOT NULL, -- 0: pending, 1: delivered, 2: dead, 3: forgotten above the mark, but needed by others, 4: erased when it was pending
    lane     INTEGER NOT NULL, -- 0: live, 1: retried, 2: replayed
    held     INTEGER NOT NULL, -- 1: pending behind another event of its chain
    due      INTEGER,          -- when a pending event may be leased; 0: at any time
    chain    INTEGER NOT NULL, -- what it waits in: a hash, negative in the lane replayed; 0: none
    position INTEGER NOT NULL, -- in the chain: the id, or a later number if requeued
    attempts INTEGER NOT NULL DEFAULT 0,
    tried    INTEGER,          -- when the first attempt ended that was not the last
    requeued INTEGER,
    settled  INTEGER,          -- when it was delivered, declared dead or erased
    error    TEXT,             -- of the last attempt
    PRIMARY KEY (consumer, event)
) WITHOUT ROWID;

-- A query uses one of these only if it repeats the condition word by word.
CREATE INDEX status_head    ON status (consumer, lane, due)       WHERE state = 0 AND held = 0;
CREATE INDEX status_chain   ON status (consumer, chain, position) WHERE state = 0 AND chain <> 0;
CREATE INDEX status_pending ON status (consumer, event)           WHERE state = 0;
CREATE INDEX status_dead    ON status (consumer, event)           WHERE state = 2;
CREATE INDEX status_settled ON status (consumer, state, settled)  WHERE settled IS NOT NULL;

-- The last attempts to deliver an event, but for one that succeeded at once.
CREATE TABLE attempt (
    consumer INTEGER NOT NULL,
    event    INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    ended    INTEGER NOT NULL,
    took     INTEGER NOT NULL, -- microseconds
    status   INTEGER NOT NULL, -- of the answer; 0: none
    error    TEXT,
    answer   BLOB,             -- how its body begins
    PRIMARY KEY (consumer, event, number)
) WITHOUT ROWID;

-- Identities of events, for duplicates: in tables identity_<number> by time, which are
-- dropped whole. The key is the first 8 bytes of a SHA-256, or the next free number if
-- another identity has that; hash is the 8 bytes behind. They are numbers, as these are short and quick to bind.
--     CREATE TABLE identity_<number> (key INTEGER PRIMARY KEY, hash INTEGER NOT NULL, accepted INTEGER NOT NULL)
CREATE TABLE identity_tables (
    number INTEGER PRIMARY KEY,
    begun  INTEGER NOT NULL
);

-- What only few events have.
CREATE TABLE note (
    event   INTEGER PRIMARY KEY,
    message INTEGER, -- a hash of the message that it is, if that is to be erased when it is taken back
    erased  INTEGER, -- when the event was erased
    because TEXT     -- why
);
CREATE INDEX note_message ON note (message) WHERE message IS NOT NULL;

-- For people.
CREATE VIEW waiting AS
    SELECT e.id, c.name AS consumer, e.field, e.account, e.identity,
           datetime(e.accepted / 1000000, 'unixepoch') AS accepted,
           CASE s.lane WHEN 1 THEN 'retried' WHEN 2 THEN 'replayed' ELSE 'live' END AS lane,
           datetime(nullif(s.due, 0) / 1000000, 'unixepoch') AS due,
           coalesce(s.attempts, 0) AS attempts, s.error, e.body
    FROM consumer c JOIN event e LEFT JOIN status s ON s.consumer = c.id AND s.event = e.id
    WHERE c.name IS NOT NULL AND (s.state = 0 OR s.state IS NULL AND e.id > c.mark AND iif(e.id <= c.kept_until,
        e.signature <> x'' AND (c.kept_fields = '' OR instr(c.kept_fields, ' ' || e.field || ' ') > 0), e.consumers >> (c.id - 1) & 1));
CREATE VIEW dead AS
    SELECT e.id, c.name AS consumer, e.field, e.account, e.identity,
           datetime(e.accepted / 1000000, 'unixepoch') AS accepted,
           datetime(s.settled / 1000000, 'unixepoch') AS settled, s.attempts, s.error, e.body
    FROM status s JOIN consumer c ON c.id = s.consumer JOIN event e ON e.id = s.event
    WHERE s.state = 2 AND c.name IS NOT NULL;
CREATE VIEW delivered AS
    SELECT e.id, c.name AS consumer, e.field, e.account, e.identity,
           datetime(e.accepted / 1000000, 'unixepoch') AS accepted,
           datetime(s.settled / 1000000, 'unixepoch') AS settled, s.attempts, e.body
    FROM status s JOIN consumer c ON c.id = s.consumer JOIN event e ON e.id = s.event
    WHERE s.state = 1 AND c.name IS NOT NULL;

PRAGMA user_version = 2;
