package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// sharedQueue is a queue that three gateways share, for two consumers. It knows what was
// acknowledged, and what each consumer may get when: no message may be missing, none may come
// before an earlier one of its conversation or while that is under way, and none may come
// twice, but for those under way at a failure.
type sharedQueue struct {
	*harness.Ledger
	primary   func() *pgtest.Server
	gateways  []*gateway
	consumers []*consumer
	sent      [conversations]int // messages of each that are acknowledged, from 0 on

	open   int // messages that may have been under way at failures, for each consumer
	rounds map[string]int
	took   map[string][]time.Duration // until deliveries were acknowledged again
}

// Each sender has conversations of its own.
const (
	sharedSenders = 16
	conversations = 4 * sharedSenders
)

// deliveriesPerSecond are fewer with the race detector, which leaves little of the processor.
func deliveriesPerSecond() rate.Limit {
	if harness.RaceEnabled {
		return 50
	}
	return 200
}

// startShared starts gateways, each with a DSN of its own. The options are those of the store.
func startShared(t *testing.T, primary func() *pgtest.Server, options string, dsn func(gateway int) string) *sharedQueue {
	t.Helper()
	q := &sharedQueue{
		Ledger: harness.NewLedger(), primary: primary,
		rounds: make(map[string]int), took: make(map[string][]time.Duration),
	}
	var content strings.Builder
	fmt.Fprintf(&content, "%s\ninstagram_queue {\nstore postgres {\ndsn {env.IG_TEST_DSN}\n%s\n}\nkeep delivered 1m\n"+
		"retry {\nfirst 10ms\nmax 50ms\n}\nconcurrency %d\n%s", harness.Webhook, options, queueConcurrency, harness.LongTimeout)
	for _, name := range []string{"crm", "bot"} {
		c := &consumer{App: harness.StartApp(t), name: name, taken: make(map[string]int), last: make(map[string]time.Time)}
		q.consumers = append(q.consumers, c)
		content.WriteString(to(name, "reverse_proxy %s", c.Addr))
	}
	content.WriteString("}")
	for i := range 3 {
		caddy := harness.NewCaddy(t, "IG_TEST_DSN="+dsn(i))
		g := &gateway{Caddy: caddy, site: caddy.Site("%s", content.String())}
		g.client = simulate.Client{URL: caddy.URL, Secret: harness.Secret}
		t.Cleanup(g.client.Close)
		g.Start(t, g.site)
		q.gateways = append(q.gateways, g)
	}
	return q
}

// gateway is a Caddy with the queue.
type gateway struct {
	*harness.Caddy
	site   string
	client simulate.Client

	mu      sync.Mutex
	waiting []waiting
}

// waiting is who waits for a delivery to be acknowledged that was sent later.
type waiting struct {
	since time.Time
	done  chan struct{}
}

// next returns a channel that is closed when a delivery is acknowledged that is sent from
// now on.
func (g *gateway) next() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := waiting{time.Now(), make(chan struct{})}
	g.waiting = append(g.waiting, w)
	return w.done
}

func (g *gateway) acknowledged(sent time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(w waiting) bool {
		if sent.Before(w.since) {
			return false
		}
		close(w.done)
		return true
	})
}

// waitAccepting returns when each of the gateways has acknowledged a delivery that was sent
// from now on.
func waitAccepting(t *testing.T, gateways ...*gateway) {
	t.Helper()
	var all []<-chan struct{}
	for _, g := range gateways {
		all = append(all, g.next())
	}
	for _, done := range all {
		harness.WaitClosed(t, "each gateway acknowledges deliveries", done)
	}
}

// startLoad has the senders deliver, until stop is called.
func (q *sharedQueue) startLoad(t *testing.T) (stop func()) {
	ctx, end := context.WithCancel(t.Context())
	pace := rate.NewLimiter(deliveriesPerSecond(), 1)
	var running sync.WaitGroup
	for sender := range sharedSenders {
		running.Go(func() { q.send(ctx, t, sender, pace) })
	}
	return func() {
		end()
		running.Wait()
	}
}

// send sends what is not acknowledged again, as Meta does, and to another gateway, as a
// balancer does.
func (q *sharedQueue) send(ctx context.Context, t *testing.T, sender int, pace *rate.Limiter) {
	turn := sender
	for n := 0; pace.Wait(ctx) == nil; n++ {
		conversation := sender + sharedSenders*(n%(conversations/sharedSenders))
		var mids []string
		first := q.sent[conversation]
		end := first + 1 + first%3
		for i := max(0, first-1); i < end; i++ { // the last message comes again
			mids = append(mids, mid(strconv.Itoa(conversation), i))
		}
		g := q.gateways[turn%len(q.gateways)]
		began := time.Now()
		switch outcome := g.client.Deliver(context.Background(), harness.Messages(mids...)); {
		case outcome.OK():
			q.Add(mids...)
			q.sent[conversation] = end
			g.acknowledged(began)
			if n%10 > 0 {
				continue
			}
		case outcome.Status == http.StatusServiceUnavailable:
			q.Refuse()
		case outcome.Err == nil:
			t.Errorf("an authentic delivery was answered with %d", outcome.Status)
		}
		turn++
	}
}

// consumer is an application, and what it may get.
type consumer struct {
	*harness.App
	name     string
	seen     int                  // attempts that were looked at
	taken    map[string]int       // messages of each conversation that were taken, from 0 on
	last     map[string]time.Time // when the last attempt of a conversation ended
	repeated int                  // messages that were taken again
}

// check looks at the attempts that have ended since the last call: each is for the message
// after those that were taken, or for the last of these.
func (c *consumer) check(t *testing.T) {
	t.Helper()
	attempts := c.WaitAttempts(t, 0)
	for i := range attempts[c.seen:] {
		a := &attempts[c.seen+i]
		conversation, n := a.Message(t)
		next := c.taken[conversation]
		if n != next && n != next-1 {
			t.Errorf("message %d of %s came to %s when %d was due", n, conversation, c.name, next)
		}
		if begun := c.last[conversation].Sub(a.Begin); begun > 0 {
			t.Errorf("message %d of %s came to %s %s before the attempt before it had ended", n, conversation, c.name, begun)
		}
		c.last[conversation] = a.End
		if !a.Delivered() {
			continue
		}
		if n < next {
			c.repeated++
		}
		c.taken[conversation] = n + 1
	}
	c.seen = len(attempts)
}

// behave has the applications be up, slow and failing in turn.
func (q *sharedQueue) behave(round int) {
	for i, c := range q.consumers {
		slow := harness.Rule{Match: "9 of <", Delay: 50 * time.Millisecond}
		some := harness.Rule{Match: "5 of <", Times: 20, Status: http.StatusInternalServerError}
		switch (round + i) % 3 {
		case 0:
			c.Behave(slow, some)
		case 1:
			c.Behave(harness.Rule{Delay: 5 * time.Millisecond})
		case 2:
			c.Behave(harness.Rule{Times: 500, Status: http.StatusServiceUnavailable})
		}
	}
}

// failure is what a round is about.
type failure struct {
	name     string
	gateways int // how many may lose what they have under way
	strike   func(*testing.T, *rand.Rand)
}

// fail runs a round: load, a failure that ends, and a look at what is stored and delivered.
func (q *sharedQueue) fail(t *testing.T, f failure, round int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(*crashSeed, uint64(round)))
	q.behave(round)
	stop := q.startLoad(t)
	defer stop()
	harness.WaitClosed(t, "deliveries are acknowledged", q.After(1+rng.IntN(100)))
	f.strike(t, rng)
	harness.WaitClosed(t, "deliveries are acknowledged again", q.After(1+rng.IntN(100)))
	stop()
	q.rounds[f.name]++
	q.open += f.gateways * maxRepeated
	q.checkConsumers(t)
	q.checkStored(t)
	acknowledged, refused := q.Count()
	t.Logf("round %d (%s, -crash.seed=%d): %d messages acknowledged, %d deliveries refused so far",
		round, f.name, *crashSeed, acknowledged, refused)
}

// checkConsumers looks at all attempts until now. What a gateway had under way may come again
// some rounds after it has lost it.
func (q *sharedQueue) checkConsumers(t *testing.T) {
	t.Helper()
	for _, c := range q.consumers {
		c.check(t)
		if c.repeated > q.open {
			t.Errorf("%d messages came to %s again, at most %d were under way at failures", c.repeated, c.name, q.open)
		}
	}
}

// checkStored looks for what is acknowledged and not taken by both consumers.
func (q *sharedQueue) checkStored(t *testing.T) {
	t.Helper()
	stored, err := pgtest.Query[[]string](q.primary(), `SELECT coalesce(array_agg(substring(identity FROM '[^/]*$')), '{}') FROM instagram.event`)
	if err != nil {
		t.Fatal(err)
	}
	kept := make(map[string]bool)
	for _, id := range stored {
		kept[id] = true
	}
	for i, sent := range q.sent {
		conversation, lost := strconv.Itoa(i), 0
		for n := min(q.consumers[0].taken[conversation], q.consumers[1].taken[conversation]); n < sent; n++ {
			if !kept[mid(conversation, n)] {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("%d acknowledged messages of %s are lost", lost, conversation)
		}
	}
}

// finish fails the test unless everything that was acknowledged comes in the end.
func (q *sharedQueue) finish(t *testing.T) {
	t.Helper()
	for _, c := range q.consumers {
		c.Behave()
	}
	harness.Wait(t, "everything is delivered", func() bool {
		n, err := pgtest.Query[int](q.primary(), "SELECT count(*) FROM instagram.work WHERE state <> 1")
		return err == nil && n == 0
	})
	q.checkConsumers(t)
	for _, c := range q.consumers {
		for i, sent := range q.sent {
			if n := c.taken[strconv.Itoa(i)]; n < sent {
				t.Errorf("%d messages of %d came to %s, %d are acknowledged", n, i, c.name, sent)
			}
		}
		t.Logf("%s: %d attempts, %d messages came again", c.name, c.seen, c.repeated)
	}
	acknowledged, refused := q.Count()
	t.Logf("rounds: %v; %d messages acknowledged, %d deliveries refused", q.rounds, acknowledged, refused)
	for what, took := range q.took {
		slices.Sort(took)
		t.Logf("%s: %d times, %s at the median, %s at most", what, len(took), took[len(took)/2], took[len(took)-1])
	}
}
