package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bbolt "go.etcd.io/bbolt"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/syncdir"
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
	found, err := t.checkEach(ctx)
	if err != nil {
		return err
	}
	if t.counts != found.counts {
		return fmt.Errorf("the counts are %+v, but there are %+v", t.counts, found.counts)
	}
	for key, records := t.eventCursor.First(); key != nil; key, records = t.eventCursor.Next() {
		if !t.isNeeded(lastID(key), records) {
			return fmt.Errorf("the record of the event %d is not needed", lastID(key))
		}
	}
	return t.checkKeys(found)
}

// findings are the events that a check has found.
type findings struct {
	counts
	ordered, free int // pending ones that have an order, and that can be leased
}

// checkEach looks at each event by itself.
func (t *txn) checkEach(ctx context.Context) (found findings, err error) {
	last := uint64(0)
	for w := t.walk("", true, 0); ; {
		id, st, err := w.next()
		if err := errors.Join(err, ctx.Err()); err != nil || id == 0 {
			return found, err
		}
		if id == last {
			return found, fmt.Errorf("the event %d is there twice", id)
		}
		last = id
		var e queue.Event
		if !decodeRecord(t.record(id), &e, false) {
			return found, fmt.Errorf("the %s event %d is incomplete", states[st.state], id)
		}
		if st.state == codePending {
			found.pending++
			found.bytes += int64(e.Size)
			err = t.checkPending(id, &st, e.Order, &found)
		} else {
			found.count(st.state, 1)
			if t.settled.Get(settledKey(st.state, st.settled, id)) == nil {
				err = fmt.Errorf("the settled event %d would never be forgotten", id)
			}
		}
		if err != nil {
			return found, err
		}
	}
}

// checkPending looks whether a pending event can be leased if nothing holds it back.
func (t *txn) checkPending(id uint64, st *status, order string, found *findings) error {
	want := true
	if order != "" {
		found.ordered++
		head, _ := t.buffer.head(t.orderCursor, lineOf(st.lane, order))
		want = head.id == id
	}
	if free := t.isFree(id, st); free != want {
		return fmt.Errorf("the pending event %d can be leased: %t, want %t", id, free, want)
	}
	if want {
		found.free++
	}
	return nil
}

// checkKeys compares how many keys there are with how many events.
func (t *txn) checkKeys(found findings) error {
	waiting, gone, ready := 0, 0, 0
	for i := range t.buffer.parts {
		for _, w := range t.buffer.parts[i].lines {
			waiting += 1 + len(w.others)
		}
		gone += len(t.buffer.parts[i].gone)
	}
	for p := t.ready.position(true, 0); p.key != nil; p.advance() {
		ready++
	}
	keys := func(b table) int { return b.Stats().KeyN }
	for what, n := range map[string][2]int{
		"settled events":      {keys(t.settled), int(found.dead + found.delivered)},
		"ordered events":      {keys(t.order) - gone + waiting, found.ordered},
		"events in the lanes": {ready + keys(t.retried) + keys(t.replayed), found.free},
	} {
		if n[0] != n[1] {
			return fmt.Errorf("there are %d %s, want %d", n[0], what, n[1])
		}
	}
	return nil
}
