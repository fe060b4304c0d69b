-- The events that were handled, by the SHA-256 of their Idempotency-Key.
CREATE TABLE handled_events (
    id CHAR(64) PRIMARY KEY,
    handled_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- What the samples do with messages. Yours differs.
CREATE TABLE messages (account TEXT NOT NULL, sender TEXT NOT NULL, text TEXT);
