package postgres

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/pgtest"
)

// server is the one that all tests share; each has a schema of its own. It does not sync.
var (
	server *pgtest.Server
	absent error // why there is none
)

func TestMain(m *testing.M) {
	server, absent = pgtest.Start("fsync=off", "full_page_writes=off")
	code := m.Run()
	if absent == nil {
		server.Stop()
	}
	os.Exit(code)
}

var schemas atomic.Int64

// newOptions returns those of a new queue, for a bubble and its clock: nothing happens but
// what the test does.
func newOptions(t testing.TB) Options {
	t.Helper()
	pgtest.Need(t, absent)
	const never = 1e6 * time.Hour
	return Options{
		DSN: server.DSN, Schema: fmt.Sprintf("queue %d", schemas.Add(1)), Local: true,
		timing: timing{pollMin: never, pollMax: never, beat: never, expiry: never, connect: never, check: never, health: never, unsafe: true},
	}
}

// newShared returns the options of a queue for gateways that run as those of users do, but
// for the time that a session lasts, and that a busy machine may take to connect.
func newShared(t testing.TB, expiry time.Duration) Options {
	t.Helper()
	o := newOptions(t)
	o.timing = defaultTiming
	o.unsafe, o.expiry, o.beat, o.connect = true, expiry, expiry/5, time.Minute
	return o
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o, nop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
