package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/sqlite"
)

func TestRetryOne(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	stores := []Store{store}
	accept(t, store, record(1))
	settle(t, store, queue.Outcome{State: queue.Dead})
	accept(t, store, record(2))
	settle(t, store, queue.Outcome{State: queue.Delivered})
	accept(t, store, record(3))
	settle(t, store, inAnHour())
	for id := 1; id <= 3; id++ {
		path := fmt.Sprintf("/instagram/queue/events/%d/retry", id)
		if got := get[Retried](t, stores, "POST", path); got != (Retried{Count: 1}) {
			t.Errorf("event %d: %+v", id, got)
		}
		if again := get[Retried](t, stores, "POST", path); again != (Retried{}) {
			t.Errorf("event %d, which waits for its turn: %+v", id, again)
		}
	}
	if n := len(lease(t, store)); n != 3 {
		t.Fatalf("%d events are due, want 3", n)
	}
	for path, status := range map[string]int{"3/retry": http.StatusConflict, "4/retry": http.StatusNotFound} {
		if w := serve(stores, "POST", "/instagram/queue/events/"+path); w.Code != status {
			t.Errorf("%s: %d, want %d: %s", path, w.Code, status, w.Body)
		}
	}
}

// requeued records what a store is asked to requeue.
type requeued struct {
	queue.Store
	filter   queue.Filter
	interval time.Duration
	err      error
}

func (r *requeued) Requeue(ctx context.Context, filter queue.Filter, interval time.Duration) (int, error) {
	r.filter, r.interval = filter, interval
	n, err := r.Store.Requeue(ctx, filter, interval)
	return n, errors.Join(err, r.err)
}

func TestRetryAll(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		query    string
		count    int
		interval time.Duration
	}{
		{"state=dead", 2, 100 * time.Millisecond},
		{"state=dead&field=messages", 1, 100 * time.Millisecond},
		{"state=dead&account=1&rate=1000", 1, time.Millisecond},
		{"state=dead&since=0s&rate=0.5", 0, 2 * time.Second},
		{"state=delivered&since=2001-01-01T00:00:00Z", 1, 100 * time.Millisecond},
		{"state=pending", 1, 100 * time.Millisecond}, // not those that wait for nothing
	} {
		t.Run(test.query, func(t *testing.T) {
			t.Parallel()
			store := newFullStore(t)
			asked := &requeued{Store: store.Store}
			store.Store = asked

			path := "/instagram/queue/retry?" + test.query
			if dry := get[Retried](t, []Store{store}, "POST", path+"&dry_run=true"); dry != (Retried{test.count, true}) {
				t.Errorf("dry run: %+v, want %d", dry, test.count)
			}
			if asked.filter.State != "" {
				t.Errorf("a dry run asked for %+v", asked.filter)
			}
			if got := get[Retried](t, []Store{store}, "POST", path+"&dry_run=false"); got != (Retried{Count: test.count}) {
				t.Errorf("got %+v, want %d", got, test.count)
			}
			if asked.interval != test.interval {
				t.Errorf("one each %s, want %s", asked.interval, test.interval)
			}
		})
	}
}

// TestChangeByWhatTheBodySays selects what no store can select.
func TestChangeByWhatTheBodySays(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	for n := range 30 {
		r := record(n)
		switch n % 10 {
		case 1:
			r.Body = body("12334", "23245", "random") // of the Test button
		case 2:
			r.Body = body(testAccount, "1", "hello") // of the account itself
		}
		accept(t, store, r)
	}
	settle(t, store, queue.Outcome{State: queue.Dead, Attempt: queue.Attempt{Error: "410: Gone"}})
	stores := []Store{store}
	for _, change := range []struct {
		query string
		count int
	}{
		{"retry?state=dead&test=true&rate=0.01", 3},
		{"retry?state=dead&test=true", 0}, // they are pending now
		{"retry?state=dead&failed=true&id=3", 2},
		{"retry?state=dead&echo=true&test=true", 0},
		{"discard?state=dead&echo=true", 2}, // number 3 is pending
		{"discard?state=pending&failed=true", 0},
		{"discard?state=pending&id=2", 2}, // 2 and 22: of the Test button
	} {
		path := "/instagram/queue/" + change.query
		if dry, did := inAll(t, stores, path+"&dry_run=true"), inAll(t, stores, path); did != change.count || dry != change.count {
			t.Errorf("%s: %d, and %d were counted before, want %d", change.query, did, dry, change.count)
		}
	}
	// The oldest of the Test button is gone, and the next two are due 100 s after one another.
	var due []time.Time
	for _, e := range get[Found](t, stores, "GET", "/instagram/events?state=pending&test=true").Events {
		due = append(due, e.Due)
	}
	if len(due) != 1 || due[0].Before(time.Now().Add(time.Minute)) {
		t.Errorf("due at %v", due)
	}
}

// inAll asks for a change until it is done, and returns how many events were changed.
func inAll(t *testing.T, stores []Store, path string) (n int) {
	t.Helper()
	for before := ""; ; {
		d := get[Discarded](t, stores, "POST", path+before)
		n += d.Count
		if d.Before == 0 {
			return n
		}
		before = fmt.Sprint("&before=", d.Before)
	}
}

// pages fails if too much is asked for at a time.
type pages struct {
	queue.Store
	t     *testing.T
	calls int
}

func (p *pages) List(ctx context.Context, filter queue.Filter) ([]queue.Event, error) {
	if p.calls++; filter.Limit <= 0 || filter.Limit > MaxLimit || filter.Bodies {
		p.t.Errorf("a page of %d events was asked for, bodies: %t", filter.Limit, filter.Bodies)
	}
	return p.Store.List(ctx, filter)
}

func TestDryRunCountsByPages(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	records := make([]queue.Record, 2*MaxLimit)
	for i := range records {
		records[i] = record(i)
	}
	accept(t, store, records...)
	settle(t, store, queue.Outcome{State: queue.Dead})
	counted := &pages{Store: store.Store, t: t}
	store.Store = counted
	if got := get[Retried](t, []Store{store}, "POST", "/instagram/queue/retry?state=dead&dry_run=true"); got.Count != 2*MaxLimit {
		t.Errorf("counted %d, want %d", got.Count, 2*MaxLimit)
	}
	if counted.calls > 10 {
		t.Errorf("%d pages", counted.calls)
	}
}

func TestRetryThatBreaksOffSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	accept(t, store, record(1))
	settle(t, store, queue.Outcome{State: queue.Dead})
	store.Store = &requeued{Store: store.Store, err: queue.ErrClosed}
	w := serve([]Store{store}, "POST", "/instagram/queue/retry?state=dead")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "made 1 events pending") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	accept(t, store, record(1))
	lease(t, store)
	accept(t, store, record(2))
	for _, test := range []struct{ id, status int }{
		{1, http.StatusConflict}, {2, http.StatusNoContent}, {2, http.StatusNotFound}, {3, http.StatusNotFound},
	} {
		w := serve([]Store{store}, "DELETE", fmt.Sprintf("/instagram/queue/events/%d", test.id))
		if w.Code != test.status {
			t.Errorf("event %d: %d, want %d: %s", test.id, w.Code, test.status, w.Body)
		}
	}
	if left := get[[]Event](t, []Store{store}, "GET", "/instagram/queue/events"); len(left) != 1 || left[0].ID != 1 {
		t.Errorf("left is %+v", left)
	}
}

// damaged is a store whose file is damaged.
type damaged struct {
	queue.Store
	err error
}

func (d damaged) Check(context.Context) error { return d.err }

func (d damaged) Backup(context.Context, string) error { return d.err }

func (d damaged) Compact(context.Context) (int64, int64, error) { return 0, 0, d.err }

func TestCheckAndCompact(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	accept(t, store, record(1))
	if got := get[Checked](t, []Store{store}, "POST", "/instagram/queue/check"); got != (Checked{Sound: true}) {
		t.Errorf("check: %+v", got)
	}
	if got := get[Compacted](t, []Store{store}, "POST", "/instagram/queue/compact"); got.Before <= 0 || got.After <= 0 {
		t.Errorf("compact: %+v", got)
	}
	if left := get[[]Event](t, []Store{store}, "GET", "/instagram/queue/events"); len(left) != 1 {
		t.Errorf("after it, there are %d events", len(left))
	}

	copied := filepath.Join(t.TempDir(), "copy.db")
	to := "?to=" + url.QueryEscape(copied)
	if got := get[BackedUp](t, []Store{store}, "POST", "/instagram/queue/backup"+to); got.File != copied || got.Size <= 0 {
		t.Errorf("backup: %+v", got)
	}
	restored, err := sqlite.Open(copied, zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	if stats, err := statsOf(t, restored); err != nil || stats.Pending != 1 {
		t.Errorf("the copy has %+v, %v", stats, err)
	}
	if err := restored.Close(); err != nil {
		t.Error(err)
	}
	if w := serve([]Store{store}, "POST", "/instagram/queue/backup"+to); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), copied+": file already exists") {
		t.Errorf("a second backup to the same file: %d %s", w.Code, w.Body)
	}
	for _, path := range []string{"", "?to=copy.db"} {
		if w := serve([]Store{store}, "POST", "/instagram/queue/backup"+path); w.Code != http.StatusBadRequest {
			t.Errorf("a backup to %q: %d %s", path, w.Code, w.Body)
		}
	}

	broken := []Store{{Store: damaged{store.Store, errors.New("page 7 is lost")}, Name: "broken"}}
	if got := get[Checked](t, broken, "POST", "/instagram/queue/check"); got != (Checked{Damage: "page 7 is lost"}) {
		t.Errorf("check: %+v", got)
	}
	if w := serve(broken, "POST", "/instagram/queue/compact"); w.Code != http.StatusInternalServerError {
		t.Errorf("compact: %d %s", w.Code, w.Body)
	}
	closed := []Store{{Store: damaged{store.Store, queue.ErrClosed}, Name: "closed"}}
	newer := []Store{{Store: damaged{store.Store, queue.ErrVersion}, Name: "newer"}}
	remote := []Store{{Store: struct{ queue.Store }{store.Store}, Name: "remote"}}
	for _, path := range []string{"/instagram/queue/check", "/instagram/queue/backup" + to, "/instagram/queue/compact"} {
		if w := serve(closed, "POST", path); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s of a closed store: %d %s", path, w.Code, w.Body)
		}
		if w := serve(newer, "POST", path); w.Code != http.StatusNotImplemented {
			t.Errorf("%s of a store of a newer version: %d %s", path, w.Code, w.Body)
		}
		if w := serve(remote, "POST", path); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "no file") {
			t.Errorf("%s of a store without a file: %d %s", path, w.Code, w.Body)
		}
	}
}

// A client that has gone away ends what it asked for.
func TestRequestIsCut(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	accept(t, store, record(1))
	settle(t, store, queue.Outcome{State: queue.Dead})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range []string{"/retry?state=dead", "/retry?state=dead&dry_run=true", "/check"} {
		if w := serveContext(ctx, []Store{store}, "POST", "/instagram/queue"+path); w.Code == http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	stats, err := statsOf(t, store)
	if err != nil || stats.Dead != 1 {
		t.Errorf("stats %+v, %v", stats, err)
	}
}
