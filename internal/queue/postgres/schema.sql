-- The tables of a queue that several gateways share. functions.sql has what is done with them.
-- Whoever changes this file adds a migration, see postgres.go.
--
-- Times are microseconds since 1970, on the clock of the gateways; those of sessions are
-- on that of the database. Texts that PostgreSQL cannot hold are stored as \x and hex.

-- The version of the layout, and the oldest program that can use it.
CREATE TABLE version (number int NOT NULL, oldest int NOT NULL);
INSERT INTO version VALUES (4, 1);

-- Ids of events, and positions.
CREATE SEQUENCE number;

CREATE TABLE consumer (
    id       int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     text NOT NULL UNIQUE,
    paused   boolean NOT NULL DEFAULT false,
    ordering text NOT NULL
);

-- Consumers that were dropped, and up to which event what they had is gone.
CREATE TABLE dropped (consumer int PRIMARY KEY, mark bigint NOT NULL DEFAULT 0);

-- The gateways that are running. What one has leased is free again without its session.
CREATE TABLE session (
    id    int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host  text NOT NULL,
    beat  timestamptz NOT NULL DEFAULT clock_timestamp(),
    fence bigint NOT NULL DEFAULT 0 -- no lease up to this one is given any more
);

-- What the gateways that are running say of themselves, in JSON. It is not in session, whose
-- rows change all the time.
CREATE TABLE gateway (session int PRIMARY KEY, about text NOT NULL);

-- Which consumers and gateways there are: another number as soon as there are others, or a
-- gateway says something else of itself.
CREATE TABLE generation (number bigint NOT NULL);
INSERT INTO generation VALUES (1);

-- By which duplicates are recognised: a hash of identity and secret.
CREATE TABLE identity (key uuid PRIMARY KEY, accepted bigint NOT NULL);
CREATE INDEX identity_accepted ON identity (accepted);

-- What does not change of an event, unless it is erased: then its body is empty. It goes
-- with the last of its work.
CREATE TABLE event (
    id           bigint PRIMARY KEY,
    accepted     bigint NOT NULL,
    identity     text NOT NULL,
    not_unique   boolean NOT NULL, -- others have this identity, too
    field        text NOT NULL,
    account      text NOT NULL,
    conversation text NOT NULL,
    url          text NOT NULL,
    origin       text NOT NULL,
    secret       text NOT NULL, -- the name of the app secret, never the secret
    signature    bytea NOT NULL,
    body         bytea NOT NULL,
    erased       bigint, -- when it was erased
    because      text    -- why
);

-- The messages that are to be erased when they are taken back, by a hash.
CREATE TABLE message (event bigint PRIMARY KEY, key uuid NOT NULL);
CREATE INDEX message_key ON message (key);

-- A row for each sequence of a consumer: to be locked by who changes which events wait.
CREATE TABLE chain (consumer int, chain bigint, PRIMARY KEY (consumer, chain));

-- How an event stands for a consumer. The first that waits in a line of a chain is its
-- head, and only heads are leased; those without a chain are heads, too.
CREATE TABLE work (
    event    bigint NOT NULL,
    consumer int NOT NULL,
    state    smallint NOT NULL DEFAULT 0, -- 0: pending, 1: delivered, 2: dead, 3: erased when it was pending
    lane     smallint NOT NULL DEFAULT 0, -- 0: live, 1: retried, 2: replayed
    line     smallint NOT NULL DEFAULT 0, -- 1: that of replayed events
    head     boolean NOT NULL,
    due      bigint NOT NULL DEFAULT 0,
    chain    bigint,          -- a hash of conversation or account; NULL: waits for nobody
    position bigint NOT NULL, -- in the line
    lease    bigint,          -- session << 32 + a number that it gave; NULL: not leased
    last     bigint,          -- the lease that was settled last
    accepted bigint NOT NULL, -- as of the event
    size     int NOT NULL,    -- of the body
    attempts int NOT NULL DEFAULT 0,
    tried    bigint,
    requeued bigint,
    settled  bigint,
    error    text,
    history  text[],          -- the last attempts, in JSON
    PRIMARY KEY (event, consumer)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX work_ready ON work (consumer, lane, due, event) WHERE state = 0 AND head AND lease IS NULL;
CREATE INDEX work_line ON work (consumer, chain, line, position) WHERE state = 0 AND chain IS NOT NULL;
-- Two events in flight of one sequence are impossible.
CREATE UNIQUE INDEX work_flight ON work (consumer, chain) WHERE lease IS NOT NULL AND chain IS NOT NULL;
CREATE INDEX work_lease ON work (lease) WHERE lease IS NOT NULL;
CREATE INDEX work_settled ON work (state, settled) WHERE state > 0;
