package check

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/postgres"
)

// stubQueue is the queue's admin API of a running Caddy. A store without consumers has
// the one that needs no name.
type stubQueue struct {
	t      *testing.T
	stores []admin.Status
	events []*admin.Event // of each store, the newest first
	err    error
	asked  int
}

func (s *stubQueue) get(_ context.Context, address, path string, query url.Values, found any) error {
	if s.asked++; address != "localhost:2345" {
		s.t.Errorf("the admin API at %s is asked", address)
	}
	if s.err != nil {
		return s.err
	}
	for i := range s.stores {
		if of := &s.stores[i]; of.Counts != nil && of.Consumers == nil {
			of.Consumers = []admin.Consumer{{Name: queue.DefaultConsumer, Counts: *of.Counts}}
		}
	}
	var answer any = s.stores
	if path == "/events" {
		chosen := []*admin.Event{}
		for _, e := range s.events {
			if string(e.State) == query.Get("state") && cmp.Or(e.Consumer, queue.DefaultConsumer) == query.Get("consumer") {
				chosen = append(chosen, e)
			}
		}
		if query.Get("order") == "oldest" {
			slices.Reverse(chosen)
		}
		chosen = chosen[:min(len(chosen), 1)]
		if query.Get("limit") != "1" || query.Get("store") == "" {
			s.t.Errorf("asked for %s", query)
		}
		answer = chosen
	}
	text, err := json.Marshal(answer)
	if err != nil {
		s.t.Fatal(err)
	}
	return json.Unmarshal(text, found)
}

// TestQueueOfTheRunningCaddy looks at queues in all states.
func TestQueueOfTheRunningCaddy(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	status := func(adjust func(*admin.Status)) []admin.Status {
		s := admin.Status{Store: "/q.db", Counts: &admin.Counts{Delivered: 5}}
		adjust(&s)
		return []admin.Status{s}
	}
	waiting := func(n int64, since time.Duration) []admin.Status {
		return status(func(s *admin.Status) {
			s.Pending, s.PendingBytes, s.Oldest = n, n*1000, ago(since)
		})
	}
	backlog := []*admin.Event{} // a million, of which every other is pending
	for id := uint64(1000); id > 100; id -= 2 {
		backlog = append(backlog, &admin.Event{ID: id, State: queue.Pending, Accepted: ago(time.Minute)})
	}
	oldest := &admin.Event{ID: 17, State: queue.Pending, Accepted: ago(3 * time.Hour), Attempts: 12, LastError: "dial unix /run/php/fpm.sock: permission denied"}
	for name, test := range map[string]struct {
		stub             *stubQueue
		faults, warnings []string
		check, says      string
		skipped          bool
	}{
		"nothing waits":     {stub: &stubQueue{stores: status(func(*admin.Status) {})}, check: QueueDelivering, says: "No event waits"},
		"some wait":         {stub: &stubQueue{stores: waiting(3, 9*time.Minute), events: backlog}, check: QueueDelivering, says: "3 events (2.9 KiB) wait, the oldest since "},
		"one waits":         {stub: &stubQueue{stores: waiting(1, 9*time.Minute), events: backlog}, check: QueueDelivering, says: "One event (1000 B) waits, since "},
		"application down":  {stub: &stubQueue{stores: waiting(450, 3*time.Hour), events: append(backlog, oldest)}, warnings: []string{QueueDelivering}, check: QueueDelivering, says: "number 12, failed: dial unix /run/php/fpm.sock: permission denied."},
		"application slow":  {stub: &stubQueue{stores: waiting(450, 11*time.Minute), events: backlog}, warnings: []string{QueueDelivering}, check: QueueDelivering, says: "no attempt has failed"},
		"sent again lately": {stub: &stubQueue{stores: waiting(1, 72*time.Hour), events: []*admin.Event{{ID: 5, State: queue.Pending, Accepted: ago(72 * time.Hour), Requeued: ago(time.Minute)}}}, check: QueueDelivering, says: "3 days ago"},
		"refuses": {
			stub:   &stubQueue{stores: status(func(s *admin.Status) { s.RefusingSince = ago(20 * time.Minute) })},
			faults: []string{QueueAccepting}, check: QueueAccepting, says: "20 minutes ago",
		},
		"cannot even count": {
			stub:   &stubQueue{stores: []admin.Status{{Store: "/q.db", Error: "input/output error"}}},
			faults: []string{QueueAccepting}, check: QueueAccepting, says: "input/output error",
		},
		"of a newer version": {
			stub:   &stubQueue{stores: []admin.Status{{Store: "/q.db", Error: "the queue is of a newer version", RefusingSince: ago(time.Minute)}}},
			faults: []string{QueueAccepting}, check: QueueAccepting, says: "The queue does not tell how it is: the queue is of a newer version.Mend what the error says",
		},
		"dead letters": {
			stub: &stubQueue{
				stores: status(func(s *admin.Status) { s.Dead = 2 }),
				events: []*admin.Event{{ID: 9, State: queue.Dead, Accepted: ago(48 * time.Hour), Attempts: 80, LastError: "status 500"}},
			},
			warnings: []string{QueueDead}, check: QueueDead, says: "2 dead letters, the last one accepted on ",
		},
		"one dead letter": {
			stub: &stubQueue{
				stores: status(func(s *admin.Status) { s.Dead = 1 }),
				events: []*admin.Event{{ID: 9, State: queue.Dead, Accepted: ago(48 * time.Hour), Attempts: 80, LastError: "status 500"}},
			},
			warnings: []string{QueueDead}, check: QueueDead, says: "One dead letter, accepted on ",
		},
		"config that was not loaded": {stub: &stubQueue{stores: []admin.Status{}}, faults: []string{QueueAccepting}, check: QueueAccepting, says: "caddy reload --config "},
		"no Caddy":                   {stub: &stubQueue{err: errors.New("no Caddy answers at localhost:2345")}, check: QueueAccepting, says: "no Caddy answers at localhost:2345", skipped: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := configured(t, strings.Replace(noClientCert, "admin off", "admin localhost:2345", 1))
			free(10<<30)(c, dir)
			c.NoDeliveries = true
			test.stub.t = t
			c.Admin = test.stub.get
			for i := range test.stub.stores {
				test.stub.stores[i].Store = storeIn(dir)
			}
			r := c.run()
			r.expect(t, test.faults, test.warnings)
			f := r.find(t, test.check)
			if !strings.Contains(f.Text+f.Advice, test.says) || (f.Status == Skipped) != test.skipped {
				t.Errorf("it says %+v", f)
			}
			if test.stub.asked > 30 {
				t.Errorf("the admin API is asked %d times", test.stub.asked)
			}
		})
	}
}

// storeIn returns the store that noClientCert names.
func storeIn(dir string) string { return filepath.Join(dir, "missing", "deeper", "queue.db") }

// TestQueueThatIsNotOpenIsNotFoundWell asks a Caddy that runs another config: its
// queue is well, and that of the config takes nothing.
func TestQueueThatIsNotOpenIsNotFoundWell(t *testing.T) {
	for name, test := range map[string]struct {
		store  string // in the place of the config's
		open   []string
		faults []string // the stores
		says   string
	}{
		"another path":       {open: []string{"/old/queue.db"}, faults: []string{"DIR/missing/deeper/queue.db"}, says: "Load this config: caddy reload --config DIR/Caddyfile"},
		"none":               {faults: []string{"DIR/missing/deeper/queue.db"}, says: "Load this config: caddy reload --config DIR/Caddyfile"},
		"one more":           {open: []string{"DIR/missing/deeper/queue.db", "/old/queue.db"}},
		"path of this shell": {store: "queues/queue.db", open: []string{"/old/queue.db"}, faults: []string{"HERE/queues/queue.db"}, says: "in its directory and with its environment"},
		"default path":       {store: "-", open: []string{"/old/queue.db"}, faults: []string{"DATA/instagram/queue.db"}, says: "as Caddy's user"},
	} {
		t.Run(name, func(t *testing.T) {
			config := strings.Replace(noClientCert, "admin off", "admin localhost:2345", 1)
			switch test.store {
			case "":
			case "-":
				config = strings.Replace(config, "store sqlite DIR/missing/deeper/queue.db", "", 1)
			default:
				config = strings.Replace(config, "DIR/missing/deeper/queue.db", test.store, 1)
			}
			c, dir := configured(t, config)
			here, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			local := strings.NewReplacer("DIR", dir, "HERE", here, "DATA", caddy.AppDataDir()).Replace
			free(10<<30)(c, dir)
			c.NoDeliveries = true
			stub := &stubQueue{t: t, stores: []admin.Status{}}
			for _, store := range test.open {
				stub.stores = append(stub.stores, admin.Status{Store: local(store), Counts: &admin.Counts{}})
			}
			c.Admin = stub.get
			var want []string
			for _, store := range test.faults {
				want = append(want, "The running Caddy does not have the queue "+local(store)+" open, which the config names.")
			}
			var got []string
			for _, f := range c.run().Findings {
				if f.Check == QueueAccepting && f.Status == Fault {
					got = append(got, f.Text)
					if !strings.Contains(f.Advice, local(test.says)) {
						t.Errorf("it advises %q", f.Advice)
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("faults %q, want %q", got, want)
			}
		})
	}
}

// TestQueueInADatabaseIsComparedByItsName asks a Caddy whose queue is well, but not in the
// database of the config.
func TestQueueInADatabaseIsComparedByItsName(t *testing.T) {
	const dsn = "postgres://u:s3cr3t@db.example/hooks"
	t.Setenv("IG_QUEUE_DSN", dsn)
	name, err := postgres.Name(dsn, "instagram")
	if err != nil {
		t.Fatal(err)
	}
	for title, test := range map[string]struct {
		dsn  string
		open []string
		want Status
		says string
	}{
		"open":              {"{env.IG_QUEUE_DSN}", []string{name}, OK, "Deliveries are accepted."},
		"a file":            {"{env.IG_QUEUE_DSN}", []string{"/old/queue.db"}, Fault, "does not have the queue " + name + " open"},
		"another database":  {"postgres://u:s3cr3t@db.example/other", []string{name}, Fault, "does not have the queue postgres:instagram@"},
		"none":              {"{env.IG_QUEUE_DSN}", nil, Fault, "does not have the queue " + name + " open"},
		"unknown":           {"{env.IG_NOT_SET}", []string{name}, Skipped, "cannot be told"},
		"unknown, and none": {"{env.IG_NOT_SET}", nil, Fault, "has no queue open"},
		"no dsn":            {"s3cr3t s3cr3t", []string{name}, Skipped, "cannot be told"},
	} {
		t.Run(title, func(t *testing.T) {
			config := strings.Replace(noClientCert, "admin off", "admin localhost:2345", 1)
			c, dir := configured(t, strings.Replace(config, "store sqlite DIR/missing/deeper/queue.db", "store postgres {\n\t\t\t\tdsn \""+test.dsn+"\"\n\t\t\t}", 1))
			free(10<<30)(c, dir)
			c.NoDeliveries = true
			stub := &stubQueue{t: t, stores: []admin.Status{}}
			for _, store := range test.open {
				stub.stores = append(stub.stores, admin.Status{Store: store, Counts: &admin.Counts{}})
			}
			c.Admin = stub.get
			if f := c.run().find(t, QueueAccepting); f.Status != test.want || !strings.Contains(f.Text, test.says) {
				t.Errorf("it says %+v", f)
			}
		})
	}
}

// TestAdviceOnQueuesWorksAsItIsTyped looks for commands that would refuse, or ask
// another Caddy.
func TestAdviceOnQueuesWorksAsItIsTyped(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		config, store string
		several       bool
		want          string
	}{
		{"/etc/caddy/Caddyfile", "/q.db", false, "caddy instagram queue retry --all --config /etc/caddy/Caddyfile"},
		{"/etc/caddy/Caddyfile", "/my q.db", true, "caddy instagram queue retry --all --config /etc/caddy/Caddyfile --store '/my q.db'"},
		{"it's/caddy.json", "/q.db", false, `caddy instagram queue retry --all --config 'it'\''s/caddy.json'`},
		{"my.caddyfile", "/q.db", false, "caddy instagram queue retry --all --config my.caddyfile"},
		{"site.conf", "/q.db", false, "caddy instagram queue retry --all --config site.conf --adapter caddyfile"},
	} {
		r := &run{Checker: &Checker{Config: test.config}, setup: &setup{several: test.several}}
		if got := r.queueCommand("retry --all", test.store); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
	r := &run{Checker: &Checker{Config: "Caddyfile", Admin: (&stubQueue{t: t, err: errors.New("none")}).get}, ctx: t.Context(), setup: &setup{admin: "localhost:2345"}}
	one := func(name string, paused bool, counts admin.Counts, inConfig bool) consumerOf {
		return consumerOf{"/q.db", admin.Consumer{Name: name, Paused: paused, InConfig: &inConfig, Counts: counts}}
	}
	old := time.Now().Add(-time.Hour)
	r.dead(one("default", false, admin.Counts{Dead: 2}, true))
	r.accepting(admin.Status{Store: "/q.db", Error: "input/output error"})
	r.delivering(one("default", false, admin.Counts{Pending: 1, Oldest: old}, true))
	r.dead(one("crm", false, admin.Counts{Dead: 2}, true))
	r.delivering(one("crm", true, admin.Counts{Pending: 1, Oldest: old}, true))
	r.delivering(one("crm", true, admin.Counts{Pending: 1, Oldest: old}, false))
	r.dead(one("crm", false, admin.Counts{Dead: 2}, false))
	for i, want := range []string{
		"Once the application can take them: caddy instagram queue retry --all --config Caddyfile; what nobody needs: caddy instagram queue discard --all --config Caddyfile",
		"Look for damage: caddy instagram queue check --config Caddyfile",
		"Look for yourself: caddy instagram queue list --state pending --config Caddyfile",
		"Once the application can take them: caddy instagram queue retry --all --consumer crm --config Caddyfile; what nobody needs: caddy instagram queue discard --all --consumer crm --config Caddyfile",
		"Once it can take events: caddy instagram queue resume crm --config Caddyfile",
		"Put it into the config again, or give its events up: caddy instagram queue drop crm --config Caddyfile",
		"The consumer is not in the running config: put it into the config again, or give its events up: caddy instagram queue drop crm --config Caddyfile",
	} {
		if got := r.report.Findings[i].Advice; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestAdminOffIsSaid has no admin API: nobody must take that for a queue that
// was found well.
func TestAdminOffIsSaid(t *testing.T) {
	c, dir := configured(t, noClientCert)
	free(10<<30)(c, dir)
	c.NoDeliveries = true
	c.Admin = func(context.Context, string, string, url.Values, any) error {
		t.Error("it is asked")
		return nil
	}
	if f := c.run().find(t, QueueAccepting); f.Status != Skipped || !strings.Contains(f.Text, "admin off") {
		t.Errorf("%+v", f)
	}
}

// TestOldestEventIsFoundWhereverItIs would blame the wrong event.
func TestOldestEventIsFoundWhereverItIs(t *testing.T) {
	t.Parallel()
	for oldest := uint64(1); oldest <= 100; oldest++ {
		stub := &stubQueue{t: t, events: []*admin.Event{{ID: 100, State: queue.Pending}, {ID: oldest, State: queue.Pending}}}
		r := &run{Checker: &Checker{Admin: stub.get}, ctx: t.Context(), setup: &setup{admin: "localhost:2345"}}
		if e, err := r.first(consumerOf{"/q.db", admin.Consumer{Name: queue.DefaultConsumer}}, "pending", "oldest"); err != nil || e.ID != oldest {
			t.Errorf("%d is found, want %d: %v", e.ID, oldest, err)
		}
	}
}
