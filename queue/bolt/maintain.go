package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bbolt "go.etcd.io/bbolt"

	"github.com/caddy-instagram/webhooks/internal/syncdir"
	"github.com/caddy-instagram/webhooks/queue"
)

// Check implements queue.Maintainer.
func (s *Store) Check(ctx context.Context) error {
	if err := s.sync(ctx); err != nil {
		return err
	}
	defer func() { _ = s.view(reclaim) }()
	return s.view(func(tx *bbolt.Tx) error {
		if err := readable(tx); err != nil {
			return err
		}
		var first error
		for err := range tx.Check() { // to its end: it needs the transaction
			if first == nil {
				first = err
			}
		}
		if err := errors.Join(first, ctx.Err()); err != nil {
			return err
		}
		return checkEvents(ctx, tx)
	})
}

// Compact implements queue.Maintainer.
func (s *Store) Compact(ctx context.Context) (before, after int64, err error) {
	defer guard(&err)()
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return 0, 0, err
	}
	if before, err = size(s.path); err != nil {
		return 0, 0, err
	}
	if !s.complete() {
		return 0, 0, fmt.Errorf("%w: %w", errBroken, s.cause)
	}
	copied := s.path + ".compact"
	if err := s.copyTo(copied); err != nil {
		return 0, 0, errors.Join(fmt.Errorf("compacting %s: %w", s.path, err), os.Remove(copied))
	}
	err = errors.Join(s.abandon(), s.closeFiles(true))
	if err == nil {
		err = os.Rename(copied, s.path)
	}
	if err == nil {
		err = syncdir.Sync(filepath.Dir(s.path))
	}
	if err := errors.Join(err, s.open()); err != nil {
		return 0, 0, err
	}
	after, err = size(s.path)
	return before, after, err
}

// copyTo copies what is used of the file to a new one. Its journal begins anew.
func (s *Store) copyTo(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return err
	}
	const transaction = 4 << 20 // bytes
	err = bbolt.Compact(db, s.db, transaction)
	if err == nil {
		err = db.Update(putSalt)
	}
	return errors.Join(err, db.Close())
}

func size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// checkEvents looks for events that contradict themselves.
func checkEvents(ctx context.Context, tx *bbolt.Tx) error {
	buffer, err := loadBuffer(tx)
	if err != nil {
		return err
	}
	t, err := newTxn(tx, buffer, newSeen())
	if err != nil {
		return err
	}
	damaged, err := t.seen.load()
	if err != nil {
		return err
	}
	if damaged > 0 {
		return fmt.Errorf("%d runs of identities are damaged", damaged)
	}
	var found counts
	heads, ordered, last := 0, 0, uint64(0)
	for w := t.walk("", true, 0); ; {
		id, st, err := w.next()
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if id == 0 {
			break
		}
		if id == last {
			return fmt.Errorf("the event %d is there twice", id)
		}
		last = id
		var e queue.Event
		if !decodeRecord(t.record(id), &e, false) {
			return fmt.Errorf("the %s event %d is incomplete", states[st.state], id)
		}
		switch st.state {
		case codePending:
			found.pending++
			found.bytes += int64(e.Size)
		case codeDead:
			found.dead++
		default:
			found.delivered++
		}
		if st.state != codePending {
			if t.settled.Get(settledKey(st.state, st.settled, id)) == nil {
				return fmt.Errorf("the settled event %d would never be forgotten", id)
			}
			continue
		}
		free := true
		if e.Order != "" {
			ordered++
			head, _ := buffer.head(t.orderCursor, lineOf(st.lane, e.Order))
			free = head.id == id
		}
		if in := t.isFree(id, &st); in != free {
			return fmt.Errorf("the pending event %d can be leased: %t, want %t", id, in, free)
		}
		if free {
			heads++
		}
	}
	if t.counts != found {
		return fmt.Errorf("the counts are %+v, but there are %+v", t.counts, found)
	}
	waiting, gone := 0, 0
	for i := range buffer.parts {
		for _, w := range buffer.parts[i].lines {
			waiting += 1 + len(w.others)
		}
		gone += len(buffer.parts[i].gone)
	}
	for key, records := t.eventCursor.First(); key != nil; key, records = t.eventCursor.Next() {
		needed := false
		for id := lastID(key); len(records) > 0 && !needed; id-- {
			needed = t.exists(id)
			_, records = cutRecord(records)
		}
		if !needed {
			return fmt.Errorf("the record of the event %d is not needed", lastID(key))
		}
	}
	keys := func(b table) int { return b.Stats().KeyN }
	ready := 0
	for p := t.ready.position(true, 0); p.key != nil; p.advance() {
		ready++
	}
	for what, n := range map[string][2]int{
		"settled events":      {keys(t.settled), int(found.dead + found.delivered)},
		"ordered events":      {keys(t.order) - gone + waiting, ordered},
		"events in the lanes": {ready + keys(t.retried) + keys(t.replayed), heads},
	} {
		if n[0] != n[1] {
			return fmt.Errorf("there are %d %s, want %d", n[0], what, n[1])
		}
	}
	return nil
}
