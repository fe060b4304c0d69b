package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestDiscardAllForgetsOnlyWhatIsSelected selects as a retry does, and counts in a
// dry run what it then forgets.
func TestDiscardAllForgetsOnlyWhatIsSelected(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]struct {
		d    Discarded
		left []uint64
	}{
		"state=dead":                                 {Discarded{Count: 2}, []uint64{6, 5, 4, 3}},
		"state=dead&field=messages":                  {Discarded{Count: 1}, []uint64{6, 5, 4, 3, 1}},
		"state=dead&account=1":                       {Discarded{Count: 1}, []uint64{6, 5, 4, 3, 1}},
		"state=dead&since=0s":                        {Discarded{}, []uint64{6, 5, 4, 3, 2, 1}},
		"state=delivered&since=2001-01-01T00:00:00Z": {Discarded{Count: 1}, []uint64{6, 5, 4, 2, 1}},
		"state=pending":                              {Discarded{Count: 2, InFlight: 1}, []uint64{5, 3, 2, 1}},
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			store := newFullStore(t)
			stores := []Store{store}
			path := "/instagram/queue/discard?" + query
			dry := want.d
			dry.DryRun = true
			if got := get[Discarded](t, stores, "POST", path+"&dry_run=true"); got != dry {
				t.Errorf("dry run: %+v, want %+v", got, dry)
			}
			if all := ids(t, stores, ""); len(all) != 6 {
				t.Errorf("a dry run left %v", all)
			}
			if got := get[Discarded](t, stores, "POST", path); got != want.d {
				t.Errorf("got %+v, want %+v", got, want.d)
			}
			if left := ids(t, stores, ""); !slices.Equal(left, want.left) {
				t.Errorf("left are %v, want %v", left, want.left)
			}
		})
	}
}

// ids returns the ids of the events that are listed.
func ids(t *testing.T, stores []Store, query string) (ids []uint64) {
	t.Helper()
	for _, e := range get[[]Event](t, stores, "GET", "/instagram/queue/events"+query) {
		ids = append(ids, e.ID)
	}
	return ids
}

// TestDiscardAllDoesALittleAtATime goes from page to page, and never comes to
// what was accepted since it began.
func TestDiscardAllDoesALittleAtATime(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	for i := range 5 {
		accept(t, store, record(i))
	}
	stores := []Store{store}
	const path = "/instagram/queue/discard?state=pending&limit=2"
	first := get[Discarded](t, stores, "POST", path)
	if want := (Discarded{Count: 2, Before: 4}); first != want {
		t.Errorf("got %+v, want %+v", first, want)
	}
	accept(t, store, record(6))
	total := first.Count
	for before := first.Before; before != 0; {
		d := get[Discarded](t, stores, "POST", fmt.Sprintf("%s&before=%d", path, before))
		total, before = total+d.Count, d.Before
	}
	if left := ids(t, stores, ""); total != 5 || !slices.Equal(left, []uint64{6}) {
		t.Errorf("forgot %d, left are %v", total, left)
	}
	many := &pages{Store: store.Store, t: t}
	get[Discarded](t, []Store{{Store: many, Name: "q"}}, "POST", "/instagram/queue/discard?state=dead")
}

// undiscarding is a store that fails to forget after a while.
type undiscarding struct {
	queue.Store
	fails func(id uint64) error
}

func (u undiscarding) Discard(ctx context.Context, consumer string, id uint64) error {
	return errors.Join(u.Store.Discard(ctx, consumer, id), u.fails(id))
}

// TestDiscardAllThatBreaksOffSaysHowFarItCame does not look like success.
func TestDiscardAllThatBreaksOffSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	accept(t, store, record(1), record(2))
	forgotten := make(chan struct{})
	broken := undiscarding{store.Store, func(id uint64) error {
		if id == 1 {
			<-forgotten // events are forgotten at the same time
			return queue.ErrClosed
		}
		close(forgotten)
		return nil
	}}
	w := serve([]Store{{Store: broken, Name: "q"}}, "POST", "/instagram/queue/discard?state=pending")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "forgot 1 events, then: ") {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	// What became leased or was forgotten meanwhile is no failure.
	accept(t, store, record(3), record(4), record(5))
	busy := undiscarding{store.Store, func(id uint64) error {
		return map[uint64]error{3: queue.ErrLeased, 4: queue.ErrNotFound}[id]
	}}
	if d := get[Discarded](t, []Store{{Store: busy, Name: "q"}}, "POST", "/instagram/queue/discard?state=pending"); d != (Discarded{Count: 1, InFlight: 1}) {
		t.Errorf("got %+v", d)
	}
}

// TestListInTheOrderOfAcceptance pages upwards, and sees each event once although
// others come meanwhile.
func TestListInTheOrderOfAcceptance(t *testing.T) {
	t.Parallel()
	store := newStore(t, "q")
	stores := []Store{store}
	for i := range 5 {
		accept(t, store, record(i))
	}
	if got := ids(t, stores, "?order=oldest&after=1&before=5"); !slices.Equal(got, []uint64{2, 3, 4}) {
		t.Errorf("between 1 and 5: %v", got)
	}
	if got := ids(t, stores, "?order=newest&after=3"); !slices.Equal(got, []uint64{5, 4}) {
		t.Errorf("after 3, the newest first: %v", got)
	}
	var all []uint64
	for after := ""; ; {
		page := ids(t, stores, "?order=oldest&limit=2&bodies=true"+after)
		if len(page) == 0 {
			break
		}
		all = append(all, page...)
		after = fmt.Sprintf("&after=%d", page[len(page)-1])
		if len(all) == 2 {
			accept(t, store, record(6))
			if err := store.Discard(t.Context(), "", 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !slices.Equal(all, []uint64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("in pages: %v", all)
	}
}
