package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// Retried is the answer to a request to make events pending again.
type Retried struct {
	// Count is how many events were made pending, or, of a dry run, how many
	// would be. An event counts for each of its consumers.
	Count int `json:"count"`

	// DryRun tells that nothing was done.
	DryRun bool `json:"dry_run,omitempty"`
}

// retry makes an event pending again, for one consumer or for all that have it. Where
// it is due anyway it stays as it is, and counts 0, and so where it is being delivered.
func retry(store Store, r *request) (any, error) {
	filter := queue.Filter{ID: r.id, Consumer: r.consumer}
	events, err := find(r.Context(), store, filter)
	if err != nil {
		return nil, err
	}
	if e := &events[0]; !e.ErasedAt.IsZero() {
		return nil, reject(http.StatusConflict, "event %d was erased at %s: there is nothing left to deliver", e.ID, e.ErasedAt.UTC().Format(time.RFC3339))
	}
	if !slices.ContainsFunc(events, func(e queue.Event) bool { return !e.InFlight }) {
		return nil, queue.ErrLeased
	}
	n, err := store.Requeue(r.Context(), filter, 0)
	return Retried{Count: n}, err
}

// retryAll makes all selected events pending again, one after the other.
func retryAll(store Store, r *request) (any, error) {
	interval, err := r.interval()
	if err != nil {
		return nil, err
	}
	s, dryRun, err := r.selected(store)
	if err != nil {
		return nil, err
	}
	if dryRun {
		n, err := s.count(r.Context())
		return Retried{Count: n, DryRun: true}, err
	}
	n, err := s.requeue(r.Context(), interval)
	if err != nil {
		return nil, fmt.Errorf("made %d events pending, then: %w", n, err)
	}
	return Retried{Count: n}, nil
}

// count returns how many events requeue would make pending or due.
func (s *search) count(ctx context.Context) (n int, err error) {
	now := time.Now()
	err = s.each(ctx, func(e *queue.Event) error {
		if waits := e.Lane != queue.Live && !e.InFlight && e.Due.After(now); e.ErasedAt.IsZero() && (e.State != queue.Pending || waits) {
			n++
		}
		return nil
	})
	return n, err
}

// maxIDs is how many events that no store can select are requeued at once.
const maxIDs = 1 << 20

// requeue makes the events pending, the oldest first, one per interval.
func (s *search) requeue(ctx context.Context, interval time.Duration) (int, error) {
	if s.prefix == 0 && s.conditions == nil {
		return s.store.Requeue(ctx, s.filter, interval)
	}
	filter := queue.Filter{Consumer: s.filter.Consumer, State: s.filter.State, Failed: s.filter.Failed, Error: s.filter.Error}
	add := func(e *queue.Event) error {
		if len(filter.IDs) == maxIDs {
			return badRequest("more than %d events are selected: select fewer, by since for example", maxIDs)
		}
		filter.IDs = append(filter.IDs, e.ID)
		return nil
	}
	if err := s.each(ctx, add); err != nil || filter.IDs == nil {
		return 0, err
	}
	slices.Sort(filter.IDs)
	filter.IDs = slices.Compact(filter.IDs)
	return s.store.Requeue(ctx, filter, interval)
}

// Checked is the answer to a request to check the file of a store.
type Checked struct {
	Sound bool `json:"sound"`

	// Damage says what is wrong with a file that is not sound.
	Damage string `json:"damage,omitempty"`
}

// check looks for damage.
func check(m queue.Maintainer, r *request) (any, error) {
	switch err := m.Check(r.Context()); {
	case r.Context().Err() != nil:
		return nil, r.Context().Err()
	case errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrVersion), errors.Is(err, queue.ErrMigration):
		return nil, err
	case err != nil:
		return Checked{Damage: err.Error()}, nil
	}
	return Checked{Sound: true}, nil
}

// BackedUp is the answer to a request to copy a store.
type BackedUp struct {
	File string `json:"file"`
	Size int64  `json:"size"` // in bytes
}

// backup copies a store to a new file on the machine of the server.
func backup(m queue.Maintainer, r *request) (any, error) {
	path := r.query.Get("to")
	if !filepath.IsAbs(path) {
		return nil, badRequest("to must be the absolute path of the new file: %q", path)
	}
	if err := m.Backup(r.Context(), path); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	r.audit(r.store, "a queue was copied", zap.String("file", sanitize.Text(path, maxAudited)))
	return BackedUp{File: path, Size: info.Size()}, nil
}

// Compacted is the size of a file in bytes, before and after unused space was
// given back.
type Compacted struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

// compact gives unused space back.
func compact(m queue.Maintainer, r *request) (any, error) {
	before, after, err := m.Compact(r.Context())
	return Compacted{before, after}, err
}

// Discarded is the answer to a request to forget events.
type Discarded struct {
	// Count is how many events were forgotten, or, of a dry run, how many would
	// be. An event counts for each of its consumers.
	Count int `json:"count"`

	// InFlight is how many of the selected events are being delivered just now.
	// These stay.
	InFlight int `json:"in_flight,omitempty"`

	// DryRun tells that nothing was done.
	DryRun bool `json:"dry_run,omitempty"`

	// Before is there if there may be more events: the next request, with this
	// parameter, goes on.
	Before uint64 `json:"before,omitempty"`
}

// discard forgets an event, for one consumer or for all.
func discard(store Store, r *request) (any, error) {
	err := store.Discard(r.Context(), r.consumer, r.id)
	if err == nil {
		r.audit(store.Name, "an event was discarded", zap.Uint64("id", r.id), zap.String("consumer", r.consumer))
	}
	return nil, err
}

// discardAll forgets a part of the selected events: one page, or fewer if these are not found
// within a moment.
func discardAll(store Store, r *request) (any, error) {
	s, dryRun, err := r.selected(store)
	if err != nil {
		return nil, err
	}
	if !r.query.Has("limit") {
		s.filter.Limit = MaxLimit
	}
	events, next, err := s.run(r.Context())
	if err != nil {
		return nil, err
	}
	d, err := discardEach(r.Context(), store, events, dryRun)
	if d.Count > 0 && !dryRun {
		r.audit(store.Name, "events were discarded", append(rangeOf(events), zap.Int("events", d.Count))...)
	}
	if err != nil {
		return nil, fmt.Errorf("forgot %d events, then: %w", d.Count, err)
	}
	// Newer events than those of the first page never come: the queue may take
	// more of them than are forgotten meanwhile.
	d.Before = next
	return d, nil
}

// discardsAtOnce is how many events are forgotten at a time: they share commits.
const discardsAtOnce = 64

// discardEach forgets events that are not being delivered. Those before an error
// stay forgotten.
func discardEach(ctx context.Context, store Store, events []queue.Event, dryRun bool) (Discarded, error) {
	var count, inFlight atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(discardsAtOnce)
	for i := range events {
		e := &events[i]
		switch {
		case e.InFlight:
			inFlight.Add(1)
			continue
		case dryRun:
			count.Add(1)
			continue
		}
		group.Go(func() error {
			err := store.Discard(ctx, e.Consumer, e.ID)
			switch {
			case err == nil:
				count.Add(1)
			case errors.Is(err, queue.ErrLeased):
				inFlight.Add(1)
			case !errors.Is(err, queue.ErrNotFound): // else it was forgotten meanwhile
				return err
			}
			return nil
		})
	}
	err := group.Wait()
	return Discarded{Count: int(count.Load()), InFlight: int(inFlight.Load()), DryRun: dryRun}, err
}
