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

-- What is done with the tables of schema.sql: a function for each. They are written again
-- with each new version, and found without a search path.
--
-- Locks are taken in this order, so that nobody waits for each other: members (advisory:
-- shared to use consumers and sessions, exclusive to change who they are), identities by
-- key, chains by consumer and chain, work, events. Who waits for none skips what is locked.
-- Whoever has that of generation waits for none but those of work, or has members.
--
-- Where plans must not change with the statistics, the planner is left no choice. What it
-- is told not to do counts as so expensive that it would compile the rest: no jit.

CREATE OR REPLACE FUNCTION members() RETURNS bigint STABLE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RETURN 'version'::regclass::oid;
END $$;

-- generation is the number of that table. Gateways of version 1 call it.
CREATE OR REPLACE FUNCTION generation() RETURNS bigint STABLE LANGUAGE sql SET search_path FROM CURRENT AS $$
    SELECT number FROM generation
$$;

-- advance takes a number that was never used before, not even on a primary whose last
-- commits no standby has.
CREATE OR REPLACE FUNCTION advance() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE generation SET number = greatest(number + 1, extract(epoch FROM clock_timestamp()) * 1000000);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER advance AFTER INSERT OR UPDATE OR DELETE ON gateway EXECUTE FUNCTION advance();
CREATE OR REPLACE TRIGGER advance AFTER INSERT OR DELETE ON consumer EXECUTE FUNCTION advance();

-- The chain of a conversation or an account. It is STABLE, as are the functions that it calls,
-- so that it becomes part of the statements that call it.
CREATE OR REPLACE FUNCTION chain_of(key text) RETURNS bigint STABLE LANGUAGE sql AS $$
    SELECT CASE WHEN key <> '' THEN ('x' || encode(substr(sha256(convert_to(key, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint END
$$;

-- accept stores the events of deliveries and returns which are no duplicates, by number
-- from 1. p_keys is '' where there are none; p_to says which event is for which of p_names,
-- by number. A duplicate locks the row of its identity, and so waits until that is
-- replicated, too. p_generation is 0, or the one from which it was worked out who gets what.
CREATE OR REPLACE FUNCTION accept(p_commit text, p_generation bigint, p_now bigint, p_dedupe bigint, p_keys text[], p_identity text[], p_not_unique boolean[],
    p_field text[], p_account text[], p_conversation text[], p_url text[], p_origin text[], p_secret text[],
    p_signature bytea[], p_body bytea[], p_names text[], p_to_event int[], p_to_name int[],
    p_room_events bigint[], p_room_bytes bigint[]) RETURNS int[] LANGUAGE plpgsql SET search_path FROM CURRENT
    SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    consumers int[];
    orderings text[];
    fresh boolean[]; -- events
    ids bigint[];    -- of these; NULL: it is a duplicate
    chains bigint[]; -- of what is for whom
    much record;
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true), pg_advisory_xact_lock_shared(members());
    IF p_commit = 'on' AND current_setting('synchronous_standby_names') = '' THEN
        RAISE EXCEPTION 'no standbys' USING ERRCODE = 'IQ006';
    END IF;
    IF p_generation <> 0 AND p_generation <> (SELECT number FROM generation) THEN
        RAISE EXCEPTION 'outdated' USING ERRCODE = 'IQ005';
    END IF;
    SELECT array_agg(c.id ORDER BY i), array_agg(c.ordering ORDER BY i) INTO consumers, orderings
        FROM unnest(p_names) WITH ORDINALITY AS n (name, i) LEFT JOIN consumer c USING (name);
    IF array_position(consumers, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'no consumer' USING ERRCODE = 'IQ001', DETAIL = p_names[array_position(consumers, NULL)];
    END IF;
    WITH given AS MATERIALIZED (
        SELECT i, nullif(k, '')::uuid AS key FROM unnest(p_keys) WITH ORDINALITY AS t (k, i)
    ), stored AS (
        INSERT INTO identity AS d SELECT key, p_now FROM given WHERE key IS NOT NULL ORDER BY key
        ON CONFLICT (key) DO UPDATE SET accepted = excluded.accepted WHERE d.accepted <= p_now - p_dedupe
        RETURNING d.key
    )
    SELECT array_agg(given.key IS NULL OR stored.key IS NOT NULL ORDER BY i) INTO fresh FROM given LEFT JOIN stored USING (key);
    IF p_room_events IS NOT NULL THEN
        FOR much IN SELECT n, count(*) AS events, coalesce(sum(length(p_body[i])), 0) AS bytes
            FROM unnest(p_to_event, p_to_name) AS t (i, n) WHERE fresh[i] GROUP BY n LOOP
            IF much.events > p_room_events[much.n] OR much.bytes > p_room_bytes[much.n] THEN
                RAISE EXCEPTION 'full' USING ERRCODE = 'IQ002', DETAIL = format('%s %s %s', much.n, much.events, much.bytes);
            END IF;
        END LOOP;
    END IF;
    chains := ARRAY(SELECT CASE orderings[n] WHEN 'account' THEN chain_of(p_account[i]) WHEN 'conversation' THEN chain_of(p_conversation[i]) END
        FROM unnest(p_to_event, p_to_name) WITH ORDINALITY AS t (i, n, o) ORDER BY o);
    INSERT INTO chain SELECT DISTINCT consumers[n], chain FROM unnest(p_to_event, p_to_name, chains) AS t (i, n, chain)
        WHERE fresh[i] AND chain IS NOT NULL ORDER BY 1, 2
        ON CONFLICT (consumer, chain) DO UPDATE SET chain = excluded.chain WHERE false;
    ids := ARRAY(SELECT CASE WHEN f THEN nextval('number') END FROM unnest(fresh) WITH ORDINALITY AS t (f, i) ORDER BY i);
    INSERT INTO event SELECT id, p_now, p_identity[i], p_not_unique[i], p_field[i], p_account[i], p_conversation[i], p_url[i], p_origin[i], p_secret[i],
        p_signature[i], p_body[i] FROM unnest(ids) WITH ORDINALITY AS t (id, i) WHERE id IS NOT NULL;
    INSERT INTO work (event, consumer, head, chain, position, accepted, size)
        SELECT ids[i], consumers[n], t.chain IS NULL OR (row_number() OVER (PARTITION BY n, t.chain ORDER BY i) = 1 AND
            (SELECT 1 FROM work o WHERE o.consumer = consumers[n] AND o.chain = t.chain AND o.line = 0 AND o.state = 0 LIMIT 1) IS NULL),
            t.chain, ids[i], p_now, length(p_body[i]) FROM unnest(p_to_event, p_to_name, chains) AS t (i, n, chain) WHERE fresh[i];
    RETURN coalesce(array_positions(fresh, true), '{}');
END $$;

-- take leases up to p_limit events of a lane that are due, and returns them.
CREATE OR REPLACE FUNCTION take(p_consumer int, p_lane int, p_lease bigint, p_limit int, p_low bigint, p_now bigint) RETURNS bigint[] LANGUAGE plpgsql
    SET search_path FROM CURRENT AS $$
DECLARE
    got bigint[];
BEGIN
    IF p_limit > 0 THEN
        WITH heads AS (
            SELECT h.event FROM work h WHERE h.consumer = p_consumer AND h.lane = p_lane AND h.state = 0 AND h.head AND h.lease IS NULL
                AND (h.due, h.event) >= (0::bigint, p_low) AND h.due <= p_now
                AND (h.chain IS NULL OR (SELECT 1 FROM work o WHERE o.consumer = h.consumer AND o.chain = h.chain
                    AND o.lease IS NOT NULL LIMIT 1) IS NULL)
            ORDER BY h.due, h.event LIMIT p_limit FOR UPDATE OF h SKIP LOCKED
        ), taken AS (
            UPDATE work w SET lease = p_lease FROM heads WHERE w.event = heads.event AND w.consumer = p_consumer RETURNING w.event
        )
        SELECT array_agg(event) INTO got FROM taken;
    END IF;
    RETURN coalesce(got, '{}');
END $$;

-- lease leases events for a consumer, and returns what they are. p_turn is 0 or 1 in turn:
-- who gets what cannot be divided between the lanes. No live event before p_low is free.
CREATE OR REPLACE FUNCTION lease(p_commit text, p_consumer text, p_lease bigint, p_limit int, p_turn int, p_low bigint, p_now bigint)
    RETURNS TABLE (r_consumer int, r_work work, r_event event) LANGUAGE plpgsql SET search_path FROM CURRENT
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    c consumer;
    got bigint[];
    s session;
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true), pg_advisory_xact_lock_shared(members());
    SELECT * INTO c FROM consumer WHERE name = p_consumer;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no consumer' USING ERRCODE = 'IQ001', DETAIL = p_consumer;
    END IF;
    SELECT * INTO s FROM session WHERE id = p_lease >> 32;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no session' USING ERRCODE = 'IQ003';
    ELSIF p_lease <= s.fence THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = '40001';
    END IF;
    IF c.paused THEN
        RETURN;
    END IF;
    got := take(c.id, 1, p_lease, (p_limit + p_turn) / 2, 0, p_now);
    got := got || take(c.id, 0, p_lease, p_limit - cardinality(got), p_low, p_now);
    got := got || take(c.id, 1, p_lease, p_limit - cardinality(got), 0, p_now);
    IF got = '{}' THEN
        got := take(c.id, 2, p_lease, p_limit, 0, p_now);
    END IF;
    RETURN QUERY SELECT c.id, w, e FROM unnest(got) AS g (id) JOIN work w ON w.event = g.id AND w.consumer = c.id
        JOIN event e ON e.id = g.id;
END $$;

-- next_due returns when something will be due for a consumer, or NULL.
CREATE OR REPLACE FUNCTION next_due(p_consumer text, p_now bigint) RETURNS bigint STABLE LANGUAGE sql SET search_path FROM CURRENT
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
    SELECT min(x.due) FROM consumer c CROSS JOIN generate_series(0, 2) AS l CROSS JOIN LATERAL (
        SELECT w.due FROM work w WHERE w.consumer = c.id AND w.lane = l AND w.state = 0 AND w.head AND w.lease IS NULL AND w.due > p_now
        ORDER BY w.due LIMIT 1) AS x WHERE c.name = p_consumer AND NOT c.paused
$$;

-- lock locks the chains of work, in order.
CREATE OR REPLACE FUNCTION lock(p_events bigint[], p_consumers int[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO chain SELECT DISTINCT w.consumer, w.chain FROM unnest(p_events, p_consumers) AS t (event, consumer)
        JOIN work w USING (event, consumer) WHERE w.chain IS NOT NULL ORDER BY 1, 2
        ON CONFLICT (consumer, chain) DO UPDATE SET chain = excluded.chain WHERE false;
END $$;

-- promote makes the first that waits the head of each of these lines, and returns the first
-- of these.
CREATE OR REPLACE FUNCTION promote(p_consumers int[], p_chains bigint[], p_lines smallint[]) RETURNS bigint LANGUAGE plpgsql
    SET search_path FROM CURRENT AS $$
DECLARE
    lowest bigint;
BEGIN
    WITH firsts AS (
        SELECT n.event, k.consumer FROM (SELECT DISTINCT * FROM unnest(p_consumers, p_chains, p_lines)) AS k (consumer, chain, line)
            CROSS JOIN LATERAL (SELECT event FROM work w WHERE w.consumer = k.consumer AND w.chain = k.chain AND w.line = k.line
                AND w.state = 0 ORDER BY position LIMIT 1) AS n
    ), promoted AS (
        UPDATE work w SET head = true FROM firsts WHERE w.event = firsts.event AND w.consumer = firsts.consumer AND NOT w.head RETURNING w.event
    )
    SELECT min(event) INTO lowest FROM firsts;
    RETURN lowest;
END $$;

-- without_words returns an attempt without its error and its answer.
CREATE OR REPLACE FUNCTION without_words(attempt text) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT (attempt::jsonb - 'error' - 'answer')::text
$$;

-- settle ends leases, and returns those that it has ended, now or before, by number from 1,
-- and the first event that may be free now. p_state is -1 for an event that is released.
-- What was erased meanwhile stays so, unless it was delivered.
CREATE OR REPLACE FUNCTION settle(p_commit text, p_now bigint, p_events bigint[], p_consumers int[], p_leases bigint[], p_states int[],
    p_due bigint[], p_ended bigint[], p_errors text[], p_attempts text[]) RETURNS TABLE (r_ended int[], r_low bigint) LANGUAGE plpgsql SET search_path FROM CURRENT
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    consumers int[];
    chains bigint[];
    lines smallint[];
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true);
    PERFORM lock(array_agg(event), array_agg(consumer)) FROM unnest(p_events, p_consumers, p_states) AS t (event, consumer, state) WHERE state > 0;
    WITH done AS (
        UPDATE work w SET lease = NULL, last = t.lease,
            state = CASE WHEN w.state = 3 AND t.state <> 1 THEN 3 WHEN t.state < 0 THEN 0 ELSE t.state END,
            head = w.head AND t.state <= 0,
            lane = CASE WHEN w.state = 0 AND t.state = 0 AND w.lane = 0 THEN 1 ELSE w.lane END,
            due = CASE WHEN w.state = 3 THEN 0 WHEN t.state = -1 THEN w.due WHEN t.state = 0 THEN t.due ELSE 0 END,
            attempts = w.attempts + CASE WHEN t.state < 0 THEN 0 ELSE 1 END,
            tried = CASE WHEN w.state = 0 AND t.state = 0 THEN coalesce(nullif(w.tried, 0), t.ended) ELSE w.tried END,
            settled = CASE WHEN w.state = 3 AND t.state <> 1 THEN w.settled WHEN t.state > 0 THEN p_now END,
            error = CASE WHEN w.state = 3 THEN NULL WHEN t.state < 0 THEN w.error ELSE nullif(t.error, '') END,
            history = CASE WHEN t.state < 0 OR t.state = 1 AND w.attempts = 0 AND w.lane <> 2 THEN w.history
                ELSE (w.history || CASE WHEN w.state = 3 THEN without_words(t.attempt) ELSE t.attempt END)[greatest(1, coalesce(cardinality(w.history), 0) - 8):] END
        FROM unnest(p_events, p_consumers, p_leases, p_states, p_due, p_ended, p_errors, p_attempts)
            AS t (event, consumer, lease, state, due, ended, error, attempt)
        WHERE w.event = t.event AND w.consumer = t.consumer AND w.lease = t.lease
        RETURNING w.event, w.consumer, w.chain, w.line, w.state, w.lane
    )
    SELECT array_agg(d.consumer) FILTER (WHERE d.state IN (1, 2)), array_agg(d.chain) FILTER (WHERE d.state IN (1, 2)),
        array_agg(d.line) FILTER (WHERE d.state IN (1, 2)), min(CASE WHEN d.line = 1 OR d.state = 3 THEN 0 WHEN d.state = 0 AND d.lane = 0 THEN d.event END)
        INTO consumers, chains, lines, r_low FROM done d WHERE d.chain IS NOT NULL OR d.state = 0;
    r_low := coalesce(least(r_low, promote(consumers, chains, lines)), 9223372036854775807);
    SELECT coalesce(array_agg(i), '{}') INTO r_ended FROM unnest(p_events, p_consumers, p_leases) WITH ORDINALITY AS t (event, consumer, lease, i)
        JOIN work w USING (event, consumer) WHERE w.last = t.lease;
    RETURN NEXT;
END $$;

-- forget removes work, which is locked and not leased, and the events that nobody has then.
CREATE OR REPLACE FUNCTION forget(p_events bigint[], p_consumers int[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    consumers int[];
    chains bigint[];
    lines smallint[];
    pending boolean[];
BEGIN
    PERFORM FROM event WHERE id = ANY(p_events) ORDER BY id FOR UPDATE;
    WITH gone AS (
        DELETE FROM work w USING unnest(p_events, p_consumers) AS t (event, consumer)
        WHERE w.event = t.event AND w.consumer = t.consumer RETURNING w.consumer, w.chain, w.line, w.state
    )
    SELECT array_agg(g.consumer), array_agg(g.chain), array_agg(g.line), array_agg(g.state = 0) INTO consumers, chains, lines, pending
        FROM gone g WHERE g.chain IS NOT NULL;
    PERFORM promote(array_agg(t.consumer), array_agg(t.chain), array_agg(t.line))
        FROM unnest(consumers, chains, lines, pending) AS t (consumer, chain, line, pending) WHERE t.pending;
    DELETE FROM event e WHERE e.id = ANY(p_events) AND (SELECT 1 FROM work w WHERE w.event = e.id LIMIT 1) IS NULL;
    DELETE FROM message m WHERE m.event = ANY(p_events) AND (SELECT 1 FROM work w WHERE w.event = m.event LIMIT 1) IS NULL;
    -- Chains in which nobody waits. A lock keeps others from adding to them.
    WITH idle AS (
        SELECT c.consumer, c.chain FROM (SELECT DISTINCT * FROM unnest(consumers, chains)) AS t (consumer, chain)
            JOIN chain c USING (consumer, chain) FOR UPDATE OF c SKIP LOCKED
    )
    SELECT array_agg(i.consumer), array_agg(i.chain) INTO consumers, chains FROM idle i;
    DELETE FROM chain c USING unnest(consumers, chains) AS t (consumer, chain) WHERE c.consumer = t.consumer AND c.chain = t.chain
        AND (SELECT 1 FROM work w WHERE w.consumer = c.consumer AND w.chain = c.chain AND w.state = 0 AND w.line IN (0, 1) LIMIT 1) IS NULL;
END $$;

-- requeue makes work pending again that is in the states given, or due now, and returns how much.
CREATE OR REPLACE FUNCTION requeue(p_commit text, p_now bigint, p_first bigint, p_interval bigint, p_events bigint[], p_consumers int[], p_states int[])
    RETURNS int LANGUAGE plpgsql SET search_path FROM CURRENT
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    total int;
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true);
    PERFORM lock(p_events, p_consumers);
    PERFORM FROM unnest(p_events, p_consumers) AS t (event, consumer) JOIN work w USING (event, consumer)
        ORDER BY w.event, w.consumer FOR UPDATE OF w;
    WITH given AS MATERIALIZED (
        SELECT w.event, w.consumer, w.state, w.chain, row_number() OVER (ORDER BY i) - 1 AS n
        FROM unnest(p_events, p_consumers, p_states) WITH ORDINALITY AS t (event, consumer, state, i) JOIN work w USING (event, consumer)
        JOIN event e ON e.id = w.event AND e.erased IS NULL
        WHERE w.state = t.state AND w.lease IS NULL AND (w.state > 0 OR w.due > p_now)
    ), numbered AS MATERIALIZED (
        SELECT g.*, CASE WHEN state > 0 THEN nextval('number') END AS position FROM (SELECT * FROM given ORDER BY n) g
    ), heads AS MATERIALIZED (
        SELECT g.*, g.chain IS NULL OR (row_number() OVER (PARTITION BY consumer, chain, state > 0 ORDER BY n) = 1 AND
            (SELECT 1 FROM work o WHERE o.consumer = g.consumer AND o.chain = g.chain AND o.line = 1 AND o.state = 0 LIMIT 1) IS NULL) AS head
        FROM numbered g
    ), hurried AS (
        UPDATE work w SET due = p_now FROM heads g WHERE w.event = g.event AND w.consumer = g.consumer AND g.state = 0
    ), again AS (
        UPDATE work w SET state = 0, lane = 2, line = 1, head = g.head, position = g.position, requeued = p_now,
            due = p_now + (p_first + g.n) * p_interval, settled = NULL, attempts = 0, tried = NULL, error = NULL
        FROM heads g WHERE w.event = g.event AND w.consumer = g.consumer AND g.state > 0
    )
    SELECT count(*) INTO total FROM heads;
    RETURN total;
END $$;

-- discard forgets an event for a consumer, or for all if none is named. It returns 1 if there
-- is none, and 2 if it is leased.
CREATE OR REPLACE FUNCTION discard(p_commit text, p_event bigint, p_consumer text) RETURNS int LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    events bigint[];
    consumers int[];
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true);
    SELECT array_agg(w.event), array_agg(c.id) INTO events, consumers FROM work w JOIN consumer c ON c.id = w.consumer
        WHERE w.event = p_event AND (p_consumer = '' OR c.name = p_consumer);
    IF events IS NULL THEN
        RETURN 1;
    END IF;
    PERFORM lock(events, consumers);
    PERFORM FROM work w WHERE w.event = p_event AND w.consumer = ANY(consumers) ORDER BY w.consumer FOR UPDATE;
    IF EXISTS (SELECT FROM work w WHERE w.event = p_event AND w.consumer = ANY(consumers) AND w.lease IS NOT NULL) THEN
        RETURN 2;
    END IF;
    PERFORM forget(events, consumers);
    RETURN 0;
END $$;

-- erase erases events. They keep the identities and accounts given. Programs that do not know
-- such events cannot use the queue from then on.
CREATE OR REPLACE FUNCTION erase(p_commit text, p_at bigint, p_because text, p_events bigint[], p_identities text[], p_accounts text[])
    RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    consumers int[];
    chains bigint[];
    lines smallint[];
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true), pg_advisory_xact_lock_shared(members());
    UPDATE version SET oldest = 3 WHERE oldest < 3;
    PERFORM lock(array_agg(event), array_agg(consumer)) FROM work WHERE event = ANY(p_events);
    SELECT array_agg(x.consumer), array_agg(x.chain), array_agg(x.line) INTO consumers, chains, lines FROM (
        SELECT consumer, chain, line, state FROM work WHERE event = ANY(p_events) ORDER BY event, consumer FOR UPDATE) AS x
        WHERE x.state = 0 AND x.chain IS NOT NULL;
    UPDATE work w SET head = false, size = 0, error = NULL, due = 0,
        history = (SELECT array_agg(without_words(h) ORDER BY i) FROM unnest(w.history) WITH ORDINALITY AS t (h, i)),
        settled = CASE state WHEN 0 THEN p_at ELSE settled END,
        lane = CASE state WHEN 0 THEN 0 ELSE lane END,
        state = CASE state WHEN 0 THEN 3 ELSE state END
        WHERE event = ANY(p_events);
    PERFORM promote(consumers, chains, lines);
    PERFORM FROM event WHERE id = ANY(p_events) ORDER BY id FOR UPDATE;
    UPDATE event e SET identity = t.identity, account = t.account, conversation = '', signature = '', body = '', erased = p_at, because = p_because
        FROM unnest(p_events, p_identities, p_accounts) AS t (id, identity, account) WHERE e.id = t.id AND e.erased IS NULL;
END $$;

-- accept_messages is accept for messages that are to be erased when they are taken back: each
-- has a key, which is '' for what is none. What takes one back erases what was accepted of
-- it before.
CREATE OR REPLACE FUNCTION accept_messages(p_commit text, p_generation bigint, p_now bigint, p_dedupe bigint, p_keys text[], p_identity text[], p_not_unique boolean[],
    p_field text[], p_account text[], p_conversation text[], p_url text[], p_origin text[], p_secret text[],
    p_signature bytea[], p_body bytea[], p_names text[], p_to_event int[], p_to_name int[],
    p_room_events bigint[], p_room_bytes bigint[], p_message text[], p_takes_back boolean[], p_because text) RETURNS int[] LANGUAGE plpgsql
    SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    low bigint;
    fresh int[];
    events bigint[];
    identities text[];
    accounts text[];
BEGIN
    SELECT last_value INTO low FROM number;
    fresh := accept(p_commit, p_generation, p_now, p_dedupe, p_keys, p_identity, p_not_unique, p_field, p_account, p_conversation,
        p_url, p_origin, p_secret, p_signature, p_body, p_names, p_to_event, p_to_name, p_room_events, p_room_bytes);
    WITH stored AS MATERIALIZED ( -- in the order of their ids
        SELECT id, row_number() OVER (ORDER BY id) AS n FROM event WHERE id >= low AND xmin = pg_current_xact_id()::xid
    ), messages AS MATERIALIZED (
        SELECT s.id, nullif(m.key, '')::uuid AS key, m.takes_back FROM stored s JOIN unnest(fresh) WITH ORDINALITY AS f (i, n) USING (n)
            JOIN unnest(p_message, p_takes_back) WITH ORDINALITY AS m (key, takes_back, i) USING (i) WHERE m.key <> ''
    ), noted AS (
        INSERT INTO message SELECT id, key FROM messages WHERE NOT takes_back RETURNING event, key
    ), known AS (
        SELECT event, key FROM noted UNION ALL SELECT m.event, m.key FROM messages t JOIN message m USING (key) WHERE t.takes_back
    )
    SELECT array_agg(e.id), array_agg(e.identity), array_agg(e.account) INTO events, identities, accounts FROM event e
        WHERE e.erased IS NULL AND e.id IN (SELECT k.event FROM known k JOIN messages t ON t.key = k.key AND t.takes_back AND t.id > k.event);
    IF events IS NOT NULL THEN
        PERFORM erase(p_commit, p_now, p_because, events, identities, accounts);
    END IF;
    RETURN fresh;
END $$;

-- expire forgets up to p_limit of each: delivered and dead events, identities, and what
-- dropped consumers had. It reports whether there may be more.
CREATE OR REPLACE FUNCTION expire(p_delivered bigint, p_dead bigint, p_identities bigint, p_limit int) RETURNS boolean LANGUAGE plpgsql
    SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    events bigint[];
    consumers int[];
    n int;
    more boolean := false;
    d dropped;
BEGIN
    FOR s IN 1 .. 3 LOOP
        SELECT array_agg(x.event), array_agg(x.consumer) INTO events, consumers FROM (
            SELECT event, consumer FROM work WHERE state = s AND state > 0 AND settled <= CASE s WHEN 2 THEN p_dead ELSE p_delivered END
            AND lease IS NULL
            ORDER BY settled LIMIT p_limit FOR UPDATE SKIP LOCKED) AS x;
        IF events IS NOT NULL THEN
            PERFORM forget(events, consumers);
            more := more OR cardinality(events) = p_limit;
        END IF;
    END LOOP;
    DELETE FROM identity WHERE key = ANY (ARRAY(SELECT key FROM identity WHERE accepted <= p_identities ORDER BY accepted LIMIT p_limit
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS n = ROW_COUNT;
    more := more OR n = p_limit;
    SELECT * INTO d FROM dropped LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        SELECT array_agg(x.event), array_agg(d.consumer) INTO events, consumers FROM (
            SELECT event FROM work WHERE event > d.mark AND consumer = d.consumer ORDER BY event LIMIT p_limit FOR UPDATE) AS x;
        IF events IS NULL THEN
            DELETE FROM chain WHERE consumer = d.consumer;
            DELETE FROM dropped WHERE consumer = d.consumer;
        ELSE
            PERFORM forget(events, consumers);
            UPDATE dropped SET mark = (SELECT max(e) FROM unnest(events) AS t (e)) WHERE consumer = d.consumer;
            more := true;
        END IF;
    END IF;
    RETURN more;
END $$;

-- join has consumers join. p_fields is a JSON array for one that begins with what is kept.
CREATE OR REPLACE FUNCTION join_consumers(p_commit text, p_names text[], p_orderings text[], p_fields text[], p_max int) RETURNS void LANGUAGE plpgsql
    SET search_path FROM CURRENT AS $$
DECLARE
    j record;
    new_id int;
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true), pg_advisory_xact_lock(members());
    FOR j IN SELECT * FROM unnest(p_names, p_orderings, p_fields) AS t (name, ordering, fields) LOOP
        UPDATE consumer SET ordering = j.ordering WHERE name = j.name;
        CONTINUE WHEN FOUND;
        INSERT INTO consumer (name, ordering) VALUES (j.name, j.ordering) RETURNING id INTO new_id;
        CONTINUE WHEN j.fields = '';
        WITH kept AS MATERIALIZED (
            SELECT id, accepted, length(body) AS size,
                chain_of(CASE j.ordering WHEN 'account' THEN account WHEN 'conversation' THEN conversation END) AS chain
            FROM event WHERE erased IS NULL AND (j.fields = '[]' OR field IN (SELECT json_array_elements_text(j.fields::json)))
                AND EXISTS (SELECT FROM work w JOIN consumer c ON c.id = w.consumer WHERE w.event = event.id)
            FOR KEY SHARE
        ), chains AS (
            INSERT INTO chain SELECT DISTINCT new_id, chain FROM kept WHERE chain IS NOT NULL
        )
        INSERT INTO work (event, consumer, head, chain, position, accepted, size)
            SELECT id, new_id, chain IS NULL OR row_number() OVER (PARTITION BY chain ORDER BY id) = 1, chain, id, accepted, size FROM kept;
    END LOOP;
    IF (SELECT count(*) FROM consumer) > p_max THEN
        RAISE EXCEPTION 'too many' USING ERRCODE = 'IQ004';
    END IF;
END $$;

-- pause begins or ends a pause, and reports whether there is such a consumer.
CREATE OR REPLACE FUNCTION pause(p_commit text, p_name text, p_paused boolean) RETURNS boolean LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true), pg_advisory_xact_lock(members());
    UPDATE consumer SET paused = p_paused WHERE name = p_name;
    RETURN FOUND;
END $$;

-- drop_consumer returns 1 if there is no such consumer, 2 if an event is leased for it, and 3
-- if a gateway with another session has it. What it has is removed by expire.
CREATE OR REPLACE FUNCTION drop_consumer(p_commit text, p_session int, p_name text) RETURNS int LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    c int;
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true), pg_advisory_xact_lock(members());
    SELECT id INTO c FROM consumer WHERE name = p_name;
    IF NOT FOUND THEN
        RETURN 1;
    END IF;
    IF EXISTS (SELECT FROM work WHERE lease IS NOT NULL AND consumer = c) THEN
        RETURN 2;
    END IF;
    IF EXISTS (SELECT FROM gateway g, json_array_elements(g.about::json->'consumers') AS j
        WHERE g.session <> p_session AND j->>'name' = p_name) THEN
        RETURN 3;
    END IF;
    DELETE FROM consumer WHERE id = c;
    INSERT INTO dropped VALUES (c);
    RETURN 0;
END $$;

-- leave ends sessions, and gives back what they had leased.
CREATE OR REPLACE FUNCTION leave(p_commit text, p_ids int[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true), pg_advisory_xact_lock(members());
    DELETE FROM session WHERE id = ANY(p_ids);
    DELETE FROM gateway WHERE session = ANY(p_ids);
    UPDATE work SET lease = NULL WHERE lease IS NOT NULL AND lease >> 32 = ANY(p_ids);
END $$;

-- release gives back leases whose answers the gateway did not get: those that are under way
-- are waited for, and those that are yet to begin are not given.
CREATE OR REPLACE FUNCTION release(p_commit text, p_leases bigint[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true), pg_advisory_xact_lock(members());
    UPDATE session SET fence = greatest(fence, l) FROM (SELECT max(x) AS l FROM unnest(p_leases) AS t (x)) AS m WHERE id = l >> 32;
    UPDATE work SET lease = NULL WHERE lease = ANY(p_leases);
END $$;

-- beat says that a gateway is alive, ends the sessions of others that are not, and reports
-- whether the gateway still has its own. A standby that takes over must know of it, too.
CREATE OR REPLACE FUNCTION beat(p_commit text, p_id int, p_expiry float8) RETURNS boolean LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM set_config('synchronous_commit', p_commit, true);
    IF EXISTS (SELECT FROM session WHERE beat < clock_timestamp() - make_interval(secs => p_expiry)) THEN
        PERFORM pg_advisory_xact_lock(members());
        PERFORM leave(p_commit, array_agg(id)) FROM session WHERE beat < clock_timestamp() - make_interval(secs => p_expiry);
    END IF;
    UPDATE session SET beat = clock_timestamp() WHERE id = p_id;
    RETURN FOUND;
END $$;

-- enter begins the session of a gateway.
CREATE OR REPLACE FUNCTION enter(p_commit text, p_host text, p_expiry float8, p_about text) RETURNS int LANGUAGE sql SET search_path FROM CURRENT AS $$
    SELECT beat(p_commit, 0, p_expiry);
    WITH n AS (INSERT INTO session (host) VALUES (p_host) RETURNING id)
        INSERT INTO gateway SELECT id, p_about FROM n RETURNING session;
$$;

-- stats counts what there is for each consumer.
CREATE OR REPLACE FUNCTION stats() RETURNS TABLE (name text, paused boolean, pending bigint, bytes bigint, leased bigint, dead bigint, delivered bigint,
    oldest bigint) STABLE LANGUAGE sql SET search_path FROM CURRENT AS $$
    SELECT c.name, c.paused, count(*) FILTER (WHERE state = 0), coalesce(sum(size) FILTER (WHERE state = 0), 0),
        count(*) FILTER (WHERE lease IS NOT NULL), count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 1),
        coalesce(min(accepted) FILTER (WHERE state = 0), 0)
    FROM consumer c LEFT JOIN work w ON w.consumer = c.id GROUP BY c.id ORDER BY c.name COLLATE "C"
$$;

-- What a gateway has left behind that was killed.
INSERT INTO chain (consumer, chain) VALUES (1, 7748076420210162913);
INSERT INTO chain (consumer, chain) VALUES (2, 7748076420210162913);
INSERT INTO chain (consumer, chain) VALUES (1, -3138060911502289170);
INSERT INTO consumer (id, name, paused, ordering) OVERRIDING SYSTEM VALUE VALUES (1, 'crm', false, 'conversation');
INSERT INTO consumer (id, name, paused, ordering) OVERRIDING SYSTEM VALUE VALUES (2, 'bot', true, 'account');
INSERT INTO event (id, accepted, identity, not_unique, field, account, conversation, url, origin, secret, signature, body) VALUES (1, 1796020231377131, 'a', false, 'messages', '1', '1', 'https://hooks.example.com/webhooks', '192.0.2.1:4711', 'instagram', '\x0000000000000000000000000000000000000000000000000000000000000000', '\x7b226f626a656374223a22696e7374616772616d227d');
INSERT INTO event (id, accepted, identity, not_unique, field, account, conversation, url, origin, secret, signature, body) VALUES (2, 1796020231387585, 'b', false, 'messages', '1', '1', 'https://hooks.example.com/webhooks', '192.0.2.1:4711', 'instagram', '\x0000000000000000000000000000000000000000000000000000000000000000', '\x7b226f626a656374223a22696e7374616772616d227d');
INSERT INTO event (id, accepted, identity, not_unique, field, account, conversation, url, origin, secret, signature, body) VALUES (3, 1796020231388324, 'c', false, 'messages', '1', '2', 'https://hooks.example.com/webhooks', '192.0.2.1:4711', 'instagram', '\x0000000000000000000000000000000000000000000000000000000000000000', '\x7b226f626a656374223a22696e7374616772616d227d');
INSERT INTO event (id, accepted, identity, not_unique, field, account, conversation, url, origin, secret, signature, body) VALUES (4, 1796020231389154, 'd', false, 'messages', '1', '', 'https://hooks.example.com/webhooks', '192.0.2.1:4711', 'instagram', '\x0000000000000000000000000000000000000000000000000000000000000000', '\x7b226f626a656374223a22696e7374616772616d227d');
INSERT INTO gateway (session, about) VALUES (1, '{"since":"2026-11-30T06:30:31.291289118Z","program":"(devel)","schema":2,"settings":{"dedupe":"48h","durable":"local"},"consumers":[{"name":"crm","fields":["messages"]},{"name":"bot"}]}');
INSERT INTO identity (key, accepted) VALUES ('30388c40-7407-e7fc-d835-846c322db6a6', 1796020231377131);
INSERT INTO identity (key, accepted) VALUES ('7fac4eba-575f-d911-a646-d37f90f663b6', 1796020231387585);
INSERT INTO identity (key, accepted) VALUES ('349d5723-44c6-05eb-3cd7-8abfe720cfd6', 1796020231388324);
INSERT INTO identity (key, accepted) VALUES ('b4c55824-4d27-c824-796d-8c9a788eb6c7', 1796020231389154);
INSERT INTO session (id, host, beat, fence) OVERRIDING SYSTEM VALUE VALUES (1, 'vm', '2026-01-01 00:00:00+00', 0);
INSERT INTO work (event, consumer, state, lane, line, head, due, chain, "position", lease, last, accepted, size, attempts, tried, requeued, settled, error, history) VALUES (3, 1, 0, 0, 0, true, 0, -3138060911502289170, 3, NULL, NULL, 1796020231388324, 22, 0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO work (event, consumer, state, lane, line, head, due, chain, "position", lease, last, accepted, size, attempts, tried, requeued, settled, error, history) VALUES (3, 2, 0, 0, 0, false, 0, 7748076420210162913, 3, NULL, NULL, 1796020231388324, 22, 0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO work (event, consumer, state, lane, line, head, due, chain, "position", lease, last, accepted, size, attempts, tried, requeued, settled, error, history) VALUES (4, 1, 0, 0, 0, true, 0, NULL, 4, NULL, NULL, 1796020231389154, 22, 0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO work (event, consumer, state, lane, line, head, due, chain, "position", lease, last, accepted, size, attempts, tried, requeued, settled, error, history) VALUES (4, 2, 0, 0, 0, false, 0, 7748076420210162913, 4, NULL, NULL, 1796020231389154, 22, 0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO work (event, consumer, state, lane, line, head, due, chain, "position", lease, last, accepted, size, attempts, tried, requeued, settled, error, history) VALUES (1, 1, 2, 0, 0, false, 0, 7748076420210162913, 1, NULL, 4294967297, 1796020231377131, 22, 1, NULL, NULL, 1796020231395655, '500: no', '{"{\"ended\":1796020231391326,\"took\":1000000000,\"status\":500,\"error\":\"500: no\",\"answer\":\"bm8=\"}"}');
INSERT INTO work (event, consumer, state, lane, line, head, due, chain, "position", lease, last, accepted, size, attempts, tried, requeued, settled, error, history) VALUES (1, 2, 1, 0, 0, false, 0, 7748076420210162913, 1, NULL, 4294967298, 1796020231377131, 22, 1, NULL, NULL, 1796020231413544, NULL, NULL);
INSERT INTO work (event, consumer, state, lane, line, head, due, chain, "position", lease, last, accepted, size, attempts, tried, requeued, settled, error, history) VALUES (2, 2, 0, 0, 0, true, 0, 7748076420210162913, 2, NULL, NULL, 1796020231387585, 22, 0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO work (event, consumer, state, lane, line, head, due, chain, "position", lease, last, accepted, size, attempts, tried, requeued, settled, error, history) VALUES (2, 1, 0, 1, 0, true, 1796020231414567, 7748076420210162913, 2, 4294967300, 4294967299, 1796020231387585, 22, 1, 1796020231391326, NULL, NULL, '500: no', '{"{\"ended\":1796020231391326,\"took\":1000000000,\"status\":500,\"error\":\"500: no\",\"answer\":\"bm8=\"}"}');
SELECT setval('consumer_id_seq', 2, true);
SELECT setval('number', 4, true);
SELECT setval('session_id_seq', 1, true);
