package queue

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

func TestEachConsumerGetsItsFields(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		crm, all, nobody := newApplication(q.T, "crm"), newApplication(q.T, "all"), newApplication(q.T, "nobody")
		h, c := q.runs(
			crm.consumer(func(c *Named) { c.Fields = []string{"comments", "messages"} }),
			all.consumer(),
			nobody.consumer(func(c *Named) { c.Fields = []string{"standby"} }),
		)
		q.accept(h, stubSeveral)
		q.accept(h, message("5", 0))
		crm.expect(q.T, "instagram/178/comments/1", "instagram/178/messages/5.0", "instagram/179/comments/4")
		all.expect(q.T, "instagram/178/comments/1", "instagram/178/mentions/2/3", "instagram/178/messages/5.0",
			"instagram/179/comments/4", "instagram/179/of_tomorrow/")
		nobody.expect(q.T)
		q.accept(h, stubUnparsed)
		for _, app := range []*application{crm, all, nobody} {
			if n := len(app.got(q.T)); n != 1 {
				q.Errorf("%s got %d events of a delivery that could not be split", app.name, n)
			}
		}
		q.expectPending(map[string]int64{"crm": 0, "all": 0, "nobody": 0})
		c.unload()
	})
}

// TestConsumerThatFailsHoldsUpNobody has one in order fail while another one takes all.
func TestConsumerThatFailsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		down, up := newApplication(q.T, "down"), newApplication(q.T, "up")
		down.behave(http.StatusServiceUnavailable, nil)
		h, c := q.runs(down.consumer(func(c *Named) { c.Order = "account" }), up.consumer(func(c *Named) { c.Order = "none" }))
		for n := range 5 {
			q.accept(h, message("5", n))
			if got := up.got(q.T); len(got) != 1 {
				q.Errorf("the consumer that is up got %d events at once, want one", len(got))
			}
		}
		q.expectPending(map[string]int64{"down": 5, "up": 0})
		down.behave(http.StatusOK, nil)
		time.Sleep(time.Minute)
		var taken []string
		for _, one := range down.got(q.T) {
			if len(taken) == 0 || taken[len(taken)-1] != one.identity {
				taken = append(taken, one.identity)
			}
		}
		if len(taken) != 5 || !slices.IsSorted(taken) {
			q.Errorf("it got %q once it is up", taken)
		}
		q.expectPending(map[string]int64{"down": 0, "up": 0})
		if got := up.got(q.T); len(got) > 0 {
			q.Errorf("the other one got %v again", got)
		}
		c.unload()
	})
}

func TestNewConsumers(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		crm, kept, fresh := newApplication(q.T, "crm"), newApplication(q.T, "kept"), newApplication(q.T, "fresh")
		h, old := q.runs(crm.consumer())
		q.accept(h, stubSeveral)
		q.accept(h, message("5", 0))
		crm.got(q.T)
		fromKept := func(c *Named) { c.From, c.Fields = "kept", []string{"messages", "mentions"} }
		h, next := q.runs(crm.consumer(), kept.consumer(fromKept), fresh.consumer())
		old.unload()
		kept.expect(q.T, "instagram/178/mentions/2/3", "instagram/178/messages/5.0")
		fresh.expect(q.T)
		q.accept(h, message("5", 1))
		for _, app := range []*application{crm, kept, fresh} {
			app.expect(q.T, "instagram/178/messages/5.1")
		}

		// It is no longer new.
		_, last := q.runs(crm.consumer(), kept.consumer(fromKept), fresh.consumer(fromKept))
		next.unload()
		kept.expect(q.T)
		fresh.expect(q.T)
		last.unload()
	})
}

// TestReloadMissesNothing accepts with the old config while the new one runs already.
func TestReloadMissesNothing(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		goes, stays, comes := newApplication(q.T, "goes"), newApplication(q.T, "stays"), newApplication(q.T, "comes")
		oldHandler, old := q.runs(goes.consumer(), stays.consumer())
		newHandler, next := q.runs(stays.consumer(), comes.consumer())
		for n, h := range []*Handler{oldHandler, newHandler} {
			q.accept(h, message("5", n))
			for _, app := range []*application{goes, stays, comes} {
				app.expect(q.T, fmt.Sprintf("instagram/178/messages/5.%d", n))
			}
		}
		old.unload()
		for n, h := range []*Handler{oldHandler, newHandler} { // a request may be left in the old one
			q.accept(h, message("5", 2+n))
			goes.expect(q.T)
			stays.expect(q.T, fmt.Sprintf("instagram/178/messages/5.%d", 2+n))
			comes.expect(q.T, fmt.Sprintf("instagram/178/messages/5.%d", 2+n))
		}
		q.expectPending(map[string]int64{"goes": 0, "stays": 0, "comes": 0})

		// Caddy may stop the delivery before the server: what comes is kept.
		if err := next.app(q.T).Stop(); err != nil {
			q.Error(err)
		}
		q.accept(newHandler, message("5", 4))
		q.expectPending(map[string]int64{"goes": 0, "stays": 1, "comes": 1})
		next.unload()
	})
}

// TestDroppedConsumerJoinsAgain has somebody else drop a consumer that the config has: it gets
// what is accepted afterwards, and nothing that it had before.
func TestDroppedConsumerJoinsAgain(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		crm, bot := newApplication(q.T, "crm"), newApplication(q.T, "bot")
		h, c := q.runs(crm.consumer(), bot.consumer(func(c *Named) { c.From = "kept" }))
		q.accept(h, message("5", 0))
		bot.expect(q.T, "instagram/178/messages/5.0")
		if err := h.queue.store.Store.Drop(q.Context(), "bot"); err != nil {
			q.Fatal(err)
		}
		bot.expect(q.T)
		q.accept(h, message("5", 1))
		bot.expect(q.T, "instagram/178/messages/5.1")
		crm.expect(q.T, "instagram/178/messages/5.0", "instagram/178/messages/5.1")
		q.expectPending(map[string]int64{"crm": 0, "bot": 0})
		c.unload()
	})
}

func TestRate(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		slow, fast := newApplication(q.T, "slow"), newApplication(q.T, "fast")
		slow.behave(http.StatusServiceUnavailable, nil) // attempts that fail count as well
		h, c := q.runs(slow.consumer(func(c *Named) { c.Rate, c.Retry.First, c.Retry.Max = 20, 1, 1 }), fast.consumer())
		for n := range 300 {
			q.accept(h, message(fmt.Sprint("c", n), n))
		}
		if n := len(fast.got(q.T)); n != 300 {
			q.Errorf("the consumer without a rate got %d events at once, want 300", n)
		}
		begin := time.Now()
		time.Sleep(10 * time.Second)
		got := slow.got(q.T)
		if n := len(got); n < 199 || n > 202 {
			q.Errorf("%d attempts within 10 seconds, want 200", n)
		}
		for i, one := range got[1:] {
			if gap := one.at.Sub(got[i].at); gap < 49*time.Millisecond {
				q.Fatalf("an attempt came %s after the one before, %s after the start", gap, one.at.Sub(begin))
			}
		}
		c.unload()
	})
}

func TestPauseOfAConsumer(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		crm, bot := newApplication(q.T, "crm"), newApplication(q.T, "bot")
		held := make(chan struct{})
		crm.behave(http.StatusOK, held)
		h, c := q.runs(crm.consumer(func(c *Named) { c.Concurrency = 1 }), bot.consumer())
		for n := range 3 {
			q.accept(h, message(fmt.Sprint("c", n), n))
		}
		crm.expect(q.T, "instagram/178/messages/c0.0") // the others are leased, or about to be
		store := h.queue.store
		if err := store.Pause(q.Context(), "nobody", true); !errors.Is(err, queue.ErrNoConsumer) {
			q.Errorf("got %v for a consumer that there is not", err)
		}
		if err := store.Pause(q.Context(), "crm", true); err != nil {
			q.Fatal(err)
		}
		close(held)
		crm.expect(q.T)
		q.expectPending(map[string]int64{"crm": 2, "bot": 0})
		time.Sleep(time.Hour)
		crm.expect(q.T)

		// The next config knows of it.
		_, next := q.runs(crm.consumer(), bot.consumer())
		c.unload()
		crm.expect(q.T)
		if err := store.Pause(q.Context(), "crm", false); err != nil {
			q.Fatal(err)
		}
		crm.expect(q.T, "instagram/178/messages/c1.1", "instagram/178/messages/c2.2")
		if n := len(bot.got(q.T)); n != 3 {
			q.Errorf("the other consumer got %d events, want 3", n)
		}
		next.unload()
	})
}

func TestDropOfAConsumer(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		crm, bot := newApplication(q.T, "crm"), newApplication(q.T, "bot")
		crm.behave(http.StatusServiceUnavailable, nil)
		h, old := q.runs(crm.consumer(), bot.consumer())
		q.accept(h, message("5", 0))
		store := h.queue.store
		expect := func(consumers []string, drop error) {
			q.Helper()
			synctest.Wait()
			if got := store.Consumers(); !slices.Equal(got, consumers) {
				q.Errorf("the config has %q, want %q", got, consumers)
			}
			if err := store.Drop(q.Context(), "crm"); !errors.Is(err, drop) {
				q.Errorf("dropping it returns %v, want %v", err, drop)
			}
		}
		expect([]string{"crm", "bot"}, ErrInConfig)
		_, next := q.runs(bot.consumer())
		expect([]string{"crm", "bot"}, ErrInConfig) // the old config still runs
		old.unload()
		q.expectPending(map[string]int64{"crm": 1, "bot": 0})
		expect([]string{"bot"}, nil)
		q.expectPending(map[string]int64{"bot": 0})
		next.unload()
	})
}

// TestConsumersStopTogether has the attempts of two consumers hang.
func TestConsumersStopTogether(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		one, two := newApplication(q.T, "one"), newApplication(q.T, "two")
		one.behave(http.StatusOK, make(chan struct{}))
		two.behave(http.StatusOK, make(chan struct{}))
		h, c := q.runs(one.consumer(), two.consumer())
		q.accept(h, message("5", 0))
		synctest.Wait()
		begin := time.Now()
		if err := c.app(q.T).Stop(); err != nil {
			q.Error(err)
		}
		if took := time.Since(begin); took != defaultGrace {
			q.Errorf("it took %s, want %s", took, defaultGrace)
		}
		q.expectPending(map[string]int64{"one": 1, "two": 1})
		c.unload()
	})
}

// TestConsumersThatLeftAreWarnedOf, once for each with events that wait.
func TestConsumersThatLeftAreWarnedOf(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	s.stats = []queue.Stats{{Consumer: "bot", Pending: 5}, {Consumer: "crm", Pending: 12}, {Consumer: "empty", Dead: 1}}
	core, logs := observer.New(zap.DebugLevel)
	q := &runner{
		handler: &Handler{Consumers: []Named{wants("bot")}},
		store:   &SharedStore{Store: s, name: "a store"},
		logger:  zap.New(core),
	}
	q.warnOfLeft()
	if logs.Len() != 1 {
		t.Fatalf("%d lines, want one", logs.Len())
	}
	const want = "the consumer crm is no longer in the config, and 12 events wait for it: put it into the config again, or give them up with 'caddy instagram queue drop crm'"
	e := logs.All()[0]
	if fields := e.ContextMap(); e.Level != zap.WarnLevel || e.Message != want || fields["store"] != "a store" || fields["consumer"] != "crm" || fields["pending"] != int64(12) {
		t.Errorf("%s: %s %v", e.Level, e.Message, fields)
	}
}
