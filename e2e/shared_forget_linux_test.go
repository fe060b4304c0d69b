package e2e

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// forgetting is a queue that gateways share, whose people are erased while something fails.
type forgetting struct {
	*people
	cluster  *pgtest.Cluster
	gateways []*harness.Caddy
	sites    []string
	app      *harness.App

	at      map[string]time.Time // when it was acknowledged that a person is erased
	seen    int                  // attempts that were looked at
	late    int                  // of these, for who was erased just before
	arrived map[string]bool
}

// takenBefore is how long after it was erased an event may still arrive, which another gateway
// had taken to deliver it at once, on a machine that is busy with other tests.
const takenBefore = 5 * time.Second

// TestSharedErasureSurvivesCrashes erases people while gateways, and primaries, are killed. Who
// was erased must not be delivered, nor be in the database; nobody else's words may be lost.
func TestSharedErasureSurvivesCrashes(t *testing.T) {
	t.Parallel()
	t.Logf("repeat with -crash.seed=%d", *crashSeed)
	f := &forgetting{
		people:  &people{Ledger: harness.NewLedger(), asked: make(map[string]bool)},
		cluster: startCluster(t, 3, func(*pgtest.Cluster) {}), app: harness.StartApp(t),
		at: make(map[string]time.Time), arrived: make(map[string]bool),
	}
	for i := range 3 {
		c := harness.NewCaddy(t, "IG_TEST_DSN="+f.cluster.DSN())
		f.gateways = append(f.gateways, c)
		f.sites = append(f.sites, c.Site("%s\ninstagram_queue {\nstore postgres {\ndsn {env.IG_TEST_DSN}\n}\nretry {\nfirst 10ms\nmax 50ms\n}\nreverse_proxy %s\n}",
			harness.Webhook, f.app.Addr))
		c.Start(t, f.sites[i])
	}
	for round := range crashes(4) {
		f.round(t, round)
		if t.Failed() {
			return
		}
	}
	f.finish(t)
}

// round kills a gateway, or the primary, while people write and are erased. In every second
// pair of rounds the events wait.
func (f *forgetting) round(t *testing.T, round int) {
	t.Helper()
	f.random = rand.New(rand.NewPCG(*crashSeed, uint64(round)+1000))
	rng := rand.New(rand.NewPCG(*crashSeed, uint64(round)))
	if f.app.Behave(); round/2%2 == 1 {
		f.app.Behave(harness.Rule{Status: http.StatusInternalServerError})
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	enough := f.After(1 + rng.IntN(50))
	var running sync.WaitGroup
	pace := rate.NewLimiter(deliveriesPerSecond()/2, 1)
	for sender := range f.gateways {
		running.Go(func() { f.send(ctx, t, sender, pace) })
	}
	running.Go(func() { f.forget(ctx) })
	harness.WaitClosed(t, "enough is acknowledged", enough)
	// The count alone would end most rounds between two erasures, or while the first events
	// are looked at.
	time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
	if round%2 == 0 {
		i := rng.IntN(len(f.gateways))
		f.gateways[i].Kill(t)
		f.gateways[i].Start(t, f.sites[i])
	} else {
		old := crashPrimary(t, f.cluster, rng)
		if err := f.cluster.Promote(); err != nil {
			t.Fatal(err)
		}
		rejoin(t, f.cluster, old)
	}
	harness.WaitClosed(t, "something is acknowledged again", f.After(10+rng.IntN(50)))
	stop()
	running.Wait()
	f.checkAttempts(t)
	f.checkDatabase(t)
}

// send delivers, to the next gateway where one fails.
func (f *forgetting) send(ctx context.Context, t *testing.T, sender int, pace *rate.Limiter) {
	for turn := sender; pace.Wait(ctx) == nil; {
		client := &simulate.Client{URL: f.gateways[turn%len(f.gateways)].URL, Secret: harness.Secret, Timeout: harness.Timeout}
		for pace.Wait(ctx) == nil {
			ids, body := f.write(sender)
			outcome := client.Deliver(context.Background(), body)
			if outcome.OK() {
				f.Add(ids...)
				continue
			}
			if outcome.Err == nil && outcome.Status != http.StatusServiceUnavailable {
				t.Errorf("an authentic delivery was answered with %d", outcome.Status)
			}
			break
		}
		client.Close()
		turn++
	}
}

// forget has people erased at random, one after the other, by any gateway.
func (f *forgetting) forget(ctx context.Context) {
	client := &http.Client{Transport: new(http.Transport), Timeout: harness.Timeout}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		id := personOf(1 + f.random.Int64N(max(f.last.Load(), 1)))
		if !f.Has(id) || f.Has("erased "+id) {
			time.Sleep(time.Millisecond) // what is not accepted yet is not looked at
			continue
		}
		f.asked[id] = true
		if f.eraseBy(client, f.random.IntN(len(f.gateways)), id); !f.Has("erased " + id) {
			time.Sleep(20 * time.Millisecond) // else all would be asked for while nobody can answer
		}
	}
}

func (f *forgetting) eraseBy(client *http.Client, gateway int, id string) {
	if f.erase(client, f.gateways[gateway], id); f.Has("erased " + id) {
		f.at[id] = time.Now()
	}
}

// checkAttempts looks at what has arrived since the last call.
func (f *forgetting) checkAttempts(t *testing.T) {
	t.Helper()
	attempts := f.app.WaitAttempts(t, 0)
	for i := range attempts[f.seen:] {
		a := &attempts[f.seen+i]
		id := authorOf(t, a.ID())
		f.arrived[id] = f.arrived[id] || a.Delivered() && strings.Count(string(a.Body), "words of "+id) == 40
		at, erased := f.at[id]
		switch late := a.Begin.Sub(at); {
		case erased && late > takenBefore:
			t.Errorf("%s was erased, and came %s later", id, late)
		case erased && late > 0:
			f.late++
		}
	}
	f.seen = len(attempts)
}

// everything is what the database has in rows.
const everything = `SELECT coalesce(string_agg(line, E'\n'), '') FROM (
	SELECT concat_ws(' ', identity, account, conversation, url, origin, because, convert_from(body, 'UTF8')) FROM instagram.event
	UNION ALL SELECT w::text FROM instagram.work w UNION ALL SELECT m::text FROM instagram.message m) AS rows (line)`

// checkDatabase looks for who was erased, of whom nothing may be left, and for who was not to
// be, of whom everything must be.
func (f *forgetting) checkDatabase(t *testing.T) {
	t.Helper()
	rows, err := pgtest.Query[string](f.cluster.Primary, everything)
	if err != nil {
		t.Fatal(err)
	}
	words := make(map[string]int)
	for _, id := range personID.FindAllString(rows, -1) {
		if words[id]++; words[id] == 1 && f.Has("erased "+id) {
			t.Errorf("%s was erased, and is in the database", id)
		}
	}
	wrote := 0
	for n := range f.last.Load() {
		id := personOf(n + 1)
		if !f.Has(id) {
			continue // it was not acknowledged
		}
		if wrote++; !f.asked[id] && words[id] < 40 {
			t.Errorf("%s is lost", id)
		}
	}
	t.Logf("%d people wrote; %d were asked to be erased, %d are erased, of whom %d were under way", wrote, len(f.asked), len(f.at), f.late)
}

// finish has everybody erased for whom that was asked, and everything else delivered. Nothing
// of who was erased may then be in the files of the database, once it has written them anew.
func (f *forgetting) finish(t *testing.T) {
	t.Helper()
	f.app.Behave()
	for _, id := range slices.Sorted(maps.Keys(f.asked)) {
		if f.Has("erased " + id) {
			continue
		}
		if f.eraseBy(http.DefaultClient, 0, id); !f.Has("erased " + id) {
			t.Errorf("%s was not erased", id)
		}
	}
	primary := f.cluster.Primary
	harness.Wait(t, "everything is delivered", func() bool {
		n, err := pgtest.Query[int](primary, "SELECT count(*) FROM instagram.work WHERE state = 0")
		return err == nil && n == 0
	})
	f.checkAttempts(t)
	f.checkDatabase(t)
	for n := range f.last.Load() {
		if id := personOf(n + 1); f.Has(id) && !f.asked[id] && !f.arrived[id] {
			t.Errorf("%s was not delivered", id)
		}
	}
	for _, sql := range []string{"VACUUM FULL instagram.event", "VACUUM FULL instagram.work", "VACUUM FULL pg_statistic", "CHECKPOINT"} {
		if err := primary.Execute(sql); err != nil {
			t.Fatal(err)
		}
	}
	position, err := pgtest.Query[string](primary, "SELECT pg_current_wal_lsn()::text")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range f.cluster.Servers {
		if s != primary {
			harness.Wait(t, "the standby has replayed all", func() bool {
				done, err := pgtest.Query[bool](s, "SELECT pg_last_wal_replay_lsn() >= '"+position+"'")
				return err == nil && done
			})
			if err := s.Execute("CHECKPOINT"); err != nil {
				t.Fatal(err)
			}
		}
		f.checkTables(t, filepath.Join(s.Data, "base"))
	}
}

// checkTables looks into the files of the tables: those of the write-ahead log keep what they
// have until they are used again.
func (f *forgetting) checkTables(t *testing.T, dir string) {
	t.Helper()
	left := make(map[string]bool)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		var text []byte
		if err == nil && !entry.IsDir() {
			text, err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server, which runs on, has removed it
		}
		for _, id := range personID.FindAllString(string(text), -1) {
			if !left[id] && f.Has("erased "+id) {
				at := strings.Index(string(text), id)
				t.Errorf("%s was erased, and is in %s: %q", id, path, text[max(0, at-80):min(len(text), at+80)])
			}
			left[id] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(left) == 0 {
		t.Error("nobody is in the files at all")
	}
}
