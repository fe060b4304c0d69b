package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/syncdir"
)

// has says whether a consumer c has an event e to which nothing has happened.
const has = `(e.id > c.mark AND iif(e.id <= c.kept_until, e.signature <> x'' AND (c.kept_fields = '' OR instr(c.kept_fields, ' ' || e.field || ' ') > 0),
	e.consumers >> (c.id - 1) & 1) AND NOT EXISTS (SELECT 1 FROM status WHERE consumer = c.id AND event = e.id))`

// checks are queries that find nothing in a sound file, and what is wrong otherwise.
var checks = []struct{ sql, wrong string }{
	{`SELECT event FROM status s WHERE NOT EXISTS (SELECT 1 FROM event WHERE id = s.event)`, "a status has no event: %d"},
	{`SELECT event FROM attempt a WHERE NOT EXISTS (SELECT 1 FROM status WHERE consumer = a.consumer AND event = a.event AND state <> 3)`,
		"an attempt has no status: %d"},
	{`SELECT id FROM event e WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE id = e.delivery AND e.id < id + events)`, "an event has no delivery: %d"},
	{`SELECT id FROM delivery d WHERE NOT EXISTS (SELECT 1 FROM event WHERE id >= d.id AND id < d.id + d.events AND delivery = d.id)`,
		"a delivery has no event: %d"},
	{`SELECT id FROM event e WHERE NOT EXISTS (SELECT 1 FROM status WHERE consumer IN (SELECT id FROM consumer) AND event = e.id AND state <> 3)
		AND NOT EXISTS (SELECT 1 FROM consumer c WHERE ` + has + `)`, "nobody has an event: %d"},
	{`SELECT min(event) FROM status WHERE state = 0 AND chain <> 0 GROUP BY consumer, chain HAVING sum(held = 0) > 1`,
		"a chain has two heads, one is %d"},
	{`SELECT s.event FROM status s WHERE s.state = 0 AND s.held = 0 AND s.chain <> 0 AND EXISTS (SELECT 1 FROM status b
		WHERE b.consumer = s.consumer AND b.chain = s.chain AND b.state = 0 AND b.chain <> 0 AND b.position < s.position)`,
		"an event may overtake others of its chain: %d"},
	{`SELECT event FROM status WHERE (state = 0) <> (due IS NOT NULL) OR (state IN (1, 2, 4)) <> (settled IS NOT NULL)
		OR state NOT BETWEEN 0 AND 4 OR lane NOT BETWEEN 0 AND 2`, "a status contradicts itself: %d"},
	{`SELECT e.id FROM event e WHERE e.signature = x'' AND NOT EXISTS (SELECT 1 FROM note WHERE event = e.id AND erased IS NOT NULL)
		OR e.signature <> x'' AND EXISTS (SELECT 1 FROM status WHERE consumer IN (SELECT id FROM consumer) AND event = e.id AND state = 4)
		OR e.signature = x'' AND EXISTS (SELECT 1 FROM consumer c LEFT JOIN status s ON s.consumer = c.id AND s.event = e.id
		WHERE c.name IS NOT NULL AND (s.state = 0 OR ` + has + `))`, "an event is erased in part: %d"},
	{`SELECT event FROM note n WHERE NOT EXISTS (SELECT 1 FROM event WHERE id = n.event)`, "a note has no event: %d"},
	{`SELECT max(id) FROM event HAVING max(id) > (SELECT value FROM meta WHERE key = 'last')`, "an event has a number that is to come: %d"},
}

// Check implements queue.Maintainer.
func (s *Store) Check(ctx context.Context) error {
	if err := s.do(ctx, &operation{apply: func(*txn) error { return nil }}); err != nil {
		return err
	}
	return s.aside(ctx, (*conn).check)
}

func (c *conn) check() error {
	if err := c.script("BEGIN"); err != nil { // all at the same moment
		return err
	}
	result, err := c.text("PRAGMA integrity_check(1)")
	if err != nil {
		return err
	}
	if result != "ok" {
		return damage{fmt.Errorf("the queue %s is damaged: %s", c.path, result)}
	}
	for _, check := range checks {
		var id int64
		found, err := c.first(func(row *sqlite3.Stmt) { id = row.ColumnInt64(0) }, check.sql)
		if err != nil {
			return err
		}
		if found {
			return damage{fmt.Errorf("the queue %s is damaged: "+check.wrong, c.path, id)}
		}
	}
	consumers, err := c.consumers()
	for _, who := range consumers {
		if err == nil && who.name != "" { // what a dropped one had goes step by step
			err = c.checkConsumer(who)
		}
	}
	return err
}

// checkConsumer compares the counts of a consumer with what there is, and looks whether
// each event that is held has one to wait for.
func (c *conn) checkConsumer(who *consumer) error {
	var are counts
	if _, err := c.first(func(row *sqlite3.Stmt) {
		are = counts{row.ColumnInt64(0), row.ColumnInt64(1), row.ColumnInt64(2), row.ColumnInt64(3)}
	}, `SELECT coalesce(sum(pending), 0), coalesce(sum(iif(pending, size, 0)), 0), coalesce(sum(state = 2), 0), coalesce(sum(state = 1), 0)
		FROM (SELECT s.state, length(e.body) AS size, coalesce(s.state = 0, `+has+`) AS pending
		FROM event e JOIN consumer c ON c.id = ?1 LEFT JOIN status s ON s.consumer = c.id AND s.event = e.id)`, who.id); err != nil {
		return err
	}
	if are != who.counts {
		return damage{fmt.Errorf("the queue %s is damaged: the counts of %s are %+v, but there are %+v", c.path, who.name, who.counts, are)}
	}
	var err error
	if who.orders, err = c.orders(who.id); err != nil {
		return err
	}
	return c.checkHeld(who)
}

// checkHeld looks whether each event that is held has one to wait for: the head of its
// chain, or an event to which nothing has happened.
func (c *conn) checkHeld(who *consumer) error {
	waits := make(map[int64]int64) // the first event by chain
	err := c.each(func(row *sqlite3.Stmt) bool {
		waits[row.ColumnInt64(1)] = row.ColumnInt64(0)
		return true
	}, `SELECT min(event), chain FROM status WHERE consumer = ? AND state = 0 AND chain <> 0 GROUP BY chain HAVING sum(held = 0) = 0`, who.id)
	if err != nil || len(waits) == 0 {
		return err
	}
	err = c.each(func(row *sqlite3.Stmt) bool {
		id := row.ColumnInt64(0)
		if chain := who.chainOf(id, row.ColumnText(1), row.ColumnText(2)); id < waits[chain] {
			delete(waits, chain)
		}
		return len(waits) > 0
	}, `SELECT e.id, e.conversation, e.account FROM consumer c JOIN event e ON e.id > c.mark WHERE c.id = ? AND `+has, who.id)
	for _, id := range waits {
		return errors.Join(err, damage{fmt.Errorf("the queue %s is damaged: an event is held by nothing: %d", c.path, id)})
	}
	return err
}

// Backup copies the queue as it is at this moment to a new file, while it is used.
func (s *Store) Backup(ctx context.Context, path string) error {
	if err := s.do(ctx, &operation{apply: func(*txn) error { return nil }}); err != nil {
		return err
	}
	_, err := os.Stat(path)
	if err == nil {
		err = fs.ErrExist
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("copying the queue to %s: %w", path, err)
	}
	unfinished := path + ".part"
	if err := s.aside(ctx, func(db *conn) error { return db.copyTo(unfinished) }); err != nil {
		return errors.Join(fmt.Errorf("copying the queue to %s: %w", path, err), removeMissing(unfinished))
	}
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	return syncdir.Sync(filepath.Dir(path))
}

// Compact implements queue.Maintainer. Leases go on.
func (s *Store) Compact(ctx context.Context) (before, after int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	s.sides.Lock()
	defer s.sides.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return 0, 0, err
	}
	if before, err = size(s.path); err != nil {
		return 0, 0, err
	}
	copied := s.path + compactSuffix
	if err := s.guarded(func() error { return s.db.within(ctx, func() error { return s.db.copyTo(copied) }) }); err != nil {
		return 0, 0, errors.Join(fmt.Errorf("compacting %s: %w", s.path, err), removeMissing(copied))
	}
	if err = errors.Join(s.guarded(s.ends), s.abandon()); err == nil {
		err = s.replace(copied)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("compacting %s: %w", s.path, err), removeMissing(copied))
	}
	if err := errors.Join(err, s.openFile()); err != nil {
		return 0, 0, err
	}
	after, err = size(s.path)
	return before, after, err
}

// copyTo copies what is used of the file to a new one.
func (c *conn) copyTo(path string) error {
	if err := removeMissing(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(c.run("VACUUM INTO ?", path), f.Sync(), f.Close())
}

func removeMissing(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

var _ queue.Maintainer = (*Store)(nil)
