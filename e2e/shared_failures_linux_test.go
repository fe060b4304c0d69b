package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/pgtest"
)

// startCluster starts the servers of a cluster, once they are prepared.
func startCluster(t *testing.T, servers int, prepare func(*pgtest.Cluster), settings ...string) *pgtest.Cluster {
	t.Helper()
	c, err := pgtest.NewCluster(servers, settings...)
	pgtest.Need(t, err)
	t.Cleanup(c.Stop)
	prepare(c)
	if err := c.Init(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSharedQueueSurvivesCrashes kills gateways, primaries, whose standbys take over, and
// all standbys.
func TestSharedQueueSurvivesCrashes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, func(*pgtest.Cluster) {})
	q := startShared(t, func() *pgtest.Server { return c.Primary }, "", func(int) string { return c.DSN() })
	failures := []failure{
		{"gateway killed", 1, q.killGateway},
		{"primary killed", 3, func(t *testing.T, rng *rand.Rand) {
			old := crashPrimary(t, c, rng)
			q.takeOver(t, c)
			rejoin(t, c, old)
		}},
		{"standbys killed", 3, func(t *testing.T, _ *rand.Rand) { q.killStandbys(t, c) }},
	}
	for round := range crashes(5 * len(failures)) {
		q.fail(t, failures[round%len(failures)], round)
		if t.Failed() {
			return
		}
	}
	q.finish(t)
}

// crashPrimary crashes the primary, in half the cases with commits that no standby has, and
// returns it.
func crashPrimary(t *testing.T, c *pgtest.Cluster, rng *rand.Rand) *pgtest.Server {
	t.Helper()
	primary := c.Primary
	if rng.IntN(2) == 0 {
		if err := c.Detach(); err != nil {
			t.Fatal(err)
		}
		harness.Wait(t, "a commit waits for a standby", func() bool {
			n, err := pgtest.Query[int](primary, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
			return err == nil && n > 0
		})
	}
	primary.Crash()
	return primary
}

func (q *sharedQueue) killGateway(t *testing.T, rng *rand.Rand) {
	t.Helper()
	i := rng.IntN(len(q.gateways))
	killed := q.gateways[i]
	killed.Kill(t)
	waitAccepting(t, q.gateways[(i+1)%len(q.gateways)], q.gateways[(i+2)%len(q.gateways)])
	killed.Start(t, killed.site)
	waitAccepting(t, killed)
}

// maxRecovery is how long it may take until deliveries are acknowledged again, on a machine
// that is busy with other tests.
const maxRecovery = 45 * time.Second

// takeOver has a standby take over.
func (q *sharedQueue) takeOver(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	began := time.Now()
	if err := c.Promote(); err != nil {
		t.Fatal(err)
	}
	q.recovered(t, "acknowledged after a promotion began", began)
}

// recovered returns when all gateways acknowledge deliveries again.
func (q *sharedQueue) recovered(t *testing.T, what string, since time.Time) {
	t.Helper()
	waitAccepting(t, q.gateways...)
	took := time.Since(since)
	q.took[what] = append(q.took[what], took)
	if took > maxRecovery {
		t.Errorf("%s, %s later, want at most %s", what, took, maxRecovery)
	}
}

// rejoin makes a standby of a server that has ended.
func rejoin(t *testing.T, c *pgtest.Cluster, old *pgtest.Server) {
	t.Helper()
	if err := old.Follow(c.Primary); err != nil {
		t.Fatal(err)
	}
	if err := c.Connected(len(c.Servers) - 1); err != nil {
		t.Fatal(err)
	}
}

// killStandbys has deliveries be refused with a reason, until the standbys are back.
func (q *sharedQueue) killStandbys(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	var said []int
	for _, g := range q.gateways {
		said = append(said, len(g.Output()))
	}
	for _, s := range c.Standbys() {
		s.Crash()
	}
	for i, g := range q.gateways {
		g.WaitOutputFrom(t, said[i], `refusing deliveries: .*no synchronous standby is connected`)
	}
	for _, s := range c.Standbys() {
		if err := s.Run(); err != nil {
			t.Fatal(err)
		}
	}
	q.recovered(t, "acknowledged after the standbys are back", time.Now())
}

// TestSharedQueueSurvivesPartitions drops the packets between one gateway and the database.
// It lives on, and keeps requests of the applications waiting, until its session has expired
// and others deliver what it had.
func TestSharedQueueSurvivesPartitions(t *testing.T) {
	t.Parallel()
	network := harness.NewNetwork(t, 3)
	c := startCluster(t, 2, func(c *pgtest.Cluster) {
		c.Primary.Inside = network.Inside
		c.Primary.Set("listen_addresses=*")
	})
	q := startShared(t, func() *pgtest.Server { return c.Primary }, "",
		func(i int) string { return pgtest.DSN(network.Addr(i)) })
	ways := []struct {
		name        string
		there, back bool
	}{{"both ways", true, true}, {"to the database", true, false}, {"from the database", false, true}}
	for round := range crashes(5) {
		way := ways[round%len(ways)]
		q.fail(t, failure{"partition, " + way.name, 1, func(t *testing.T, rng *rand.Rand) {
			i := rng.IntN(len(q.gateways))
			q.hold(t)
			sessions := q.sessions(t)
			network.Cut(t, i, way.there, way.back)
			harness.Wait(t, "the session of the gateway has expired", func() bool {
				rest := q.sessions(t)
				return slices.ContainsFunc(sessions, func(id int) bool { return !slices.Contains(rest, id) })
			})
			harness.Wait(t, "the database has given up the connections of the gateway", func() bool {
				n, err := pgtest.Query[int](c.Primary, "SELECT count(*) FROM pg_stat_activity WHERE client_addr = '"+network.Client(i)+"'")
				return err == nil && n == 0
			})
			q.release(t)
			network.Mend(t, i)
			waitAccepting(t, q.gateways...)
		}}, round)
		if t.Failed() {
			return
		}
	}
	q.finish(t)
}

// TestSharedQueueSurvivesDeadMachines ends a primary together with its machine: nobody tells
// the gateways that their connections are gone.
func TestSharedQueueSurvivesDeadMachines(t *testing.T) {
	t.Parallel()
	var networks []*harness.Network
	var hosts []string
	c := startCluster(t, 3, func(c *pgtest.Cluster) {
		for _, s := range c.Servers {
			network := harness.NewNetwork(t, 1)
			networks, hosts = append(networks, network), append(hosts, network.Addr(0))
			s.Inside = network.Inside
			s.Set("listen_addresses=*")
		}
	})
	q := startShared(t, func() *pgtest.Server { return c.Primary }, "", func(int) string { return pgtest.DSN(hosts...) })
	for round := range crashes(2) {
		q.fail(t, failure{"machine of the primary dead", 3, func(t *testing.T, _ *rand.Rand) {
			old := c.Primary
			network := networks[slices.Index(c.Servers, old)]
			network.Cut(t, 0, true, true)
			old.Crash()
			q.takeOver(t, c)
			network.Mend(t, 0)
			rejoin(t, c, old)
		}}, round)
		if t.Failed() {
			return
		}
	}
	q.finish(t)
}

// heldConversations are so few that each gateway has room for further attempts: else it would
// keep what it has leased waiting.
const heldConversations = queueConcurrency - 1

// hold has the applications keep requests waiting.
func (q *sharedQueue) hold(t *testing.T) {
	t.Helper()
	var rules []harness.Rule
	for i := range heldConversations {
		rules = append(rules, harness.Rule{Match: fmt.Sprintf("of <%d>", i), Hold: true})
	}
	for _, c := range q.consumers {
		c.Behave(rules...)
	}
	for _, c := range q.consumers {
		c.WaitHeld(t, heldConversations)
	}
}

// release lets the requests go on, once those whose gateway has lost them have come from another one.
func (q *sharedQueue) release(t *testing.T) {
	t.Helper()
	for _, c := range q.consumers {
		c.WaitHeld(t, heldConversations)
		c.Behave()
	}
}

// sessions are those of gateways in the database.
func (q *sharedQueue) sessions(t *testing.T) []int {
	t.Helper()
	ids, err := pgtest.Query[[]int](q.primary(), "SELECT array_agg(id) FROM instagram.session")
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestSharedQueueSurvivesDatabaseAway has the disk of the database be full, and the database be
// away while a gateway starts.
func TestSharedQueueSurvivesDatabaseAway(t *testing.T) {
	harness.NeedRoot(t)
	t.Parallel()
	disk := harness.NewTmpfs(t, 512<<20)
	if err := os.Chmod(filepath.Dir(disk.Dir), 0o711); err != nil { // the database is another user's
		t.Fatal(err)
	}
	c := startCluster(t, 2, func(c *pgtest.Cluster) { c.Primary.Data = filepath.Join(disk.Dir, "data") },
		"max_wal_size=128MB")
	q := startShared(t, func() *pgtest.Server { return c.Primary }, "", func(int) string { return c.DSN() })
	failures := []failure{
		{"database full", 3, func(t *testing.T, rng *rand.Rand) {
			disk.Fill(t, 0)
			if rng.IntN(2) == 0 { // its log too
				harness.Wait(t, "the log of the database is full", func() bool {
					return c.Primary.Execute("SELECT pg_switch_wal()") != nil || c.Primary.HasEnded()
				})
			}
			waitRefused(t, q.Ledger, 1+rng.IntN(100))
			disk.MakeRoom(t)
			q.back(t, c.Primary)
		}},
		{"database away", 3, func(t *testing.T, rng *rand.Rand) {
			c.Primary.Crash()
			g := q.gateways[rng.IntN(len(q.gateways))]
			g.Stop()
			g.Start(t, g.site)
			g.Deliver(t, harness.Messages("away.0"), http.StatusServiceUnavailable)
			waitRefused(t, q.Ledger, 1+rng.IntN(2500)) // mostly so long that all sessions expire
			q.back(t, c.Primary)
		}},
	}
	for round := range crashes(5 * len(failures)) {
		q.fail(t, failures[round%len(failures)], round)
		if t.Failed() {
			return
		}
	}
	q.finish(t)
}

// back has the database be there again.
func (q *sharedQueue) back(t *testing.T, primary *pgtest.Server) {
	t.Helper()
	if err := primary.Run(); err != nil {
		t.Fatal(err)
	}
	q.recovered(t, "acknowledged after the database is back", time.Now())
}
