package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

var nop = zap.NewNop

// TestDatabaseIsAway opens a queue whose database is not there: deliveries are refused until
// it is, and nothing that is said has anything of the DSN.
func TestDatabaseIsAway(t *testing.T) {
	t.Parallel()
	o := newShared(t, 10*time.Second)
	// Nobody else takes a port of this address while the database is away: what others are
	// given is of 127.0.0.1.
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	listener.Close()
	o.DSN = "postgres://postgres:sesame@" + address + "/postgres"
	core, logs := observer.New(zapcore.DebugLevel)
	logger := zap.New(core)
	s, err := Open(o, func() *zap.Logger { return logger })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Join(t.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}, {Name: "crm"}}); err != nil {
		t.Errorf("a config does not start while the database is away: %v", err)
	}
	_, refused := s.Accept(t.Context(), []queue.Record{record("a", "")}, queue.Admission{})
	if refused == nil {
		t.Fatal("accepted without a database")
	}
	said := refused.Error()
	for _, entry := range logs.All() {
		said += "\n" + entry.Message
		for _, field := range entry.Context {
			if err, ok := field.Interface.(error); ok {
				said += " " + err.Error()
			}
		}
	}
	for _, secret := range []string{"sesame", port, "postgres:", "user"} {
		if strings.Contains(said, secret) {
			t.Errorf("%q is in what is said:\n%s", secret, said)
		}
	}
	if !strings.Contains(said, "connection refused") {
		t.Errorf("the reason is not in what is said:\n%s", said)
	}
	forward(t, address)
	acceptSoon(t, s, queue.Admission{Consumers: []string{"crm"}, Dedupe: time.Hour})
}

// acceptSoon returns when an event is accepted, now that the database can be used.
func acceptSoon(t *testing.T, s *Store, a queue.Admission) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if _, err := s.Accept(t.Context(), []queue.Record{record("a", "")}, a); err == nil {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("refused though the database can be used: %v", err)
		}
	}
}

// forward has the server be at an address, too.
func forward(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			database, err := net.Dial("unix", filepath.Join(server.Dir, ".s.PGSQL.5432"))
			if err != nil {
				client.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{client, database}, {database, client}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
				}()
			}
		}
	}()
}

// TestDSNIsWrong tells that without the DSN.
func TestDSNIsWrong(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"postgres://ig:sesame@db:port/ig", "sesame", "postgres://ig:ses%zzame@db/ig"} {
		_, err := Open(Options{DSN: dsn, Schema: "q"}, nop)
		if err == nil || strings.Contains(err.Error(), "ses") {
			t.Errorf("opened %s: %v", dsn, err)
		}
	}
}

// TestUnsoundSettings refuses deliveries while the database could lose them, and says why.
func TestUnsoundSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		local, unsafe bool
		want          string
	}{
		{true, false, "fsync is off"},
		{false, true, "synchronous_standby_names is empty"},
		{true, true, ""},
	} {
		o := newOptions(t)
		o.Local, o.unsafe = c.local, c.unsafe
		s := openShared(t, o)
		_, err := s.Accept(t.Context(), []queue.Record{record("a", "")}, queue.Admission{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("local %t: %v, want %q", c.local, err, c.want)
		}
		if why := s.Refuses(); !errors.Is(why, err) {
			t.Errorf("local %t: it says that it refuses for %v, not %v", c.local, why, err)
		}
	}
}

// TestStandbyThatTakesOver has the setting be lost between two looks at it.
func TestStandbyThatTakesOver(t *testing.T) {
	t.Parallel()
	o := newOptions(t)
	o.Local = false
	s := openShared(t, o)
	s.unsound.Store(nil)
	if _, err := s.Accept(t.Context(), []queue.Record{record("a", "")}, queue.Admission{}); !errors.Is(err, noStandbys) || !errors.Is(s.Refuses(), noStandbys) {
		t.Errorf("accepted, %v, and goes on: %v", err, s.Refuses())
	}
}

// TestLocalWaitsForNoStandby has the standby be away of a server that commits wait for, unless
// they say that they do not.
func TestLocalWaitsForNoStandby(t *testing.T) {
	t.Parallel()
	o := newShared(t, 5*time.Second)
	own, err := pgtest.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Stop()
	o.DSN = own.DSN
	s := openShared(t, o)
	for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"} {
		if err := own.Execute(sql); err != nil {
			t.Fatal(err)
		}
	}
	accept(t, s, record("a", "1"))
	a, valid := lease(t, s)
	if _, err := s.Expire(t.Context(), queue.Retention{}); err != nil { // the identity
		t.Error(err)
	}
	o.Schema += " of a gateway that starts"
	accept(t, openShared(t, o), record("a", "1"))
	select {
	case <-valid.Done():
		t.Error("the lease is lost")
	case <-time.After(o.expiry * 3 / 2):
	}
	if err := s.Settle(t.Context(), a, queue.Outcome{State: queue.Delivered}); err != nil {
		t.Error(err)
	}
}

// TestDuplicateWaitsForStandby has the standby be away. Neither an event nor its
// duplicate is acknowledged until it is on both servers, even when somebody has cancelled
// the wait of the former.
func TestDuplicateWaitsForStandby(t *testing.T) {
	t.Parallel()
	o := newShared(t, time.Hour)
	own, err := pgtest.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Stop()
	o.DSN, o.Local, o.check, o.pollMax = own.DSN, false, time.Hour, time.Hour
	s := openShared(t, o)
	s.unsound.Store(nil)
	standbys := func(names string) {
		t.Helper()
		for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + names + "'", "SELECT pg_reload_conf()"} {
			if err := own.Execute(sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	identity, via := "", s
	send := func(within time.Duration) ([]bool, error) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return via.Accept(ctx, []queue.Record{record(identity, "1")}, queue.Admission{Dedupe: time.Hour})
	}
	standbys("nobody")
	const waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
	// The server takes note of the setting a little later.
	for n := 1; ; n++ {
		identity = fmt.Sprint("a ", n)
		err := sendAndCancel(t, own, waiting, send)
		if err != nil && !errors.Is(err, noStandbys) {
			break
		}
		s.unsound.Store(nil)
		if n == 200 {
			t.Fatal("acknowledged without the standby")
		}
	}
	if d, err := send(2 * time.Second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its duplicate: %v, %v", d, err)
	}
	other := openShared(t, o) // a config starts meanwhile
	standbys("")
	o.Local = true
	via = openShared(t, o)
	for deadline := time.Now().Add(time.Minute); ; {
		d, err := send(time.Second)
		if err == nil {
			if len(d) != 1 || !d[0] {
				t.Errorf("duplicates %v", d)
			}
			if e, _ := lease(t, other); e.Conversation != "1" {
				t.Errorf("leased %s", e.Identity)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// sendAndCancel sends an event, and has what it waits for cancelled meanwhile.
func sendAndCancel(t *testing.T, server *pgtest.Server, cancel string, send func(time.Duration) ([]bool, error)) error {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := send(time.Minute)
		sent <- err
	}()
	for {
		select {
		case err := <-sent:
			return err
		case <-time.After(20 * time.Millisecond):
			if err := server.Execute(cancel); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// newWithoutStandby returns the options of a queue in a server of its own, which has the
// consumer default, and whose commits wait for a standby that is away, until back is called.
func newWithoutStandby(t *testing.T) (o Options, back func()) {
	t.Helper()
	o = newShared(t, 10*time.Second)
	own, err := pgtest.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Stop)
	o.DSN = own.DSN
	first, err := Open(o, nop)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := first.Join(t.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		t.Fatal(err)
	}
	set := func(names string) {
		for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + names + "'", "SELECT pg_reload_conf()"} {
			if err := own.Execute(sql); err != nil {
				t.Error(err)
			}
		}
	}
	set("nobody")
	// The server takes note of the setting a little later.
	ctx, end := context.WithCancel(t.Context())
	defer end()
	go func() {
		for ctx.Err() == nil {
			_ = own.Execute("CREATE TEMPORARY TABLE something ()")
		}
	}()
	for deadline := time.Now().Add(time.Minute); ; {
		n, err := pgtest.Query[int](own, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("no commit waits for the standby: %v", err)
		}
		if n > 0 {
			break
		}
	}
	o.Local = false
	return o, func() { set("") }
}

// TestReadWithoutStandby has a gateway start, and another one be reloaded with a new consumer,
// while the standby is away: what only reads does not wait for it, and the consumers join
// once it is back.
func TestReadWithoutStandby(t *testing.T) {
	t.Parallel()
	pgtest.Need(t, absent)
	o, back := newWithoutStandby(t)
	local := o
	local.Local = true
	running := openShared(t, local)
	running.Local = false // as if the standby had been there until now
	stores := map[string]*Store{"started": open(t, o), "reloaded": running}
	for name, s := range stores {
		begun := time.Now()
		if err := s.Join(t.Context(), []queue.Consumer{{Name: name}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stats, err := s.Stats(ctx)
		if err != nil || len(stats) != 1 {
			t.Errorf("%s: stats %+v, %v", name, stats, err)
		}
		if _, _, err := s.Gateways(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begun); took > 3*patience {
			t.Errorf("%s: it takes %s", name, took)
		}
		if _, err := s.Accept(ctx, []queue.Record{record(name, "")}, queue.Admission{}); err == nil {
			t.Errorf("%s: accepted without a standby", name)
		}
	}
	back()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		// Each has its own consumer join: with no standby at all, nothing more is done here.
		for name, s := range stores {
			s.unsound.Store(nil)
			_, _ = s.Accept(t.Context(), []queue.Record{record(name, "")}, queue.Admission{})
		}
		stats, err := running.Stats(t.Context())
		if err == nil && len(stats) == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the consumers have not joined, though the standby is back: %+v, %v", stats, err)
		}
	}
}

// TestProgress says that accepts are stuck only while none of those under way ends.
func TestProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p progress
		stuck := func(want bool) {
			t.Helper()
			if got := p.stuck(time.Second); got != want {
				t.Errorf("stuck: %t, want %t", got, want)
			}
		}
		time.Sleep(time.Minute)
		stuck(false)
		p.begin()
		stuck(false)
		time.Sleep(2 * time.Second)
		stuck(true)
		p.begin() // does not end what is stuck
		stuck(true)
		p.end()
		stuck(false)
		time.Sleep(2 * time.Second)
		stuck(true)
		p.end()
		stuck(false)
	})
}

// newUser makes a user who owns nothing yet, and returns the options for a queue of theirs.
func newUser(t *testing.T, settings string) (o Options, name string) {
	t.Helper()
	o = newShared(t, 10*time.Second)
	name = strings.ReplaceAll(o.Schema, " ", "_") + "_user"
	// GRANT fails if somebody else does the like at the same time.
	execute(t, "SELECT pg_advisory_xact_lock(1); CREATE ROLE "+name+" LOGIN IN ROLE pg_monitor; "+fmt.Sprintf(settings+"%.0[1]s", name))
	o.DSN = strings.Replace(o.DSN, "user=postgres", "user="+name, 1)
	return o, name
}

func execute(t *testing.T, sql string) {
	t.Helper()
	if err := server.Execute(sql); err != nil {
		t.Fatal(err)
	}
}

// TestSettingsOfUser refuses deliveries if what the user has by default breaks promises.
func TestSettingsOfUser(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"default_transaction_isolation = 'repeatable read'": "default_transaction_isolation",
		"client_min_messages = error":                       "client_min_messages",
		"client_min_messages = notice":                      "",
	} {
		o, _ := newUser(t, "GRANT CREATE ON DATABASE postgres TO %[1]s; ALTER ROLE %[1]s SET "+setting)
		s := openShared(t, o)
		_, err := s.Accept(t.Context(), []queue.Record{record("a", "")}, queue.Admission{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", setting, err, want)
		}
	}
}

// TestDatabaseAnswersErrors begins while the database answers, but cannot be used: that is
// told without names, and passes.
func TestDatabaseAnswersErrors(t *testing.T) {
	t.Parallel()
	o, user := newUser(t, "GRANT CREATE ON DATABASE postgres TO %[1]s; ALTER ROLE %[1]s CONNECTION LIMIT 0")
	s := openShared(t, o)
	if _, err := s.Accept(t.Context(), []queue.Record{record("a", "")}, queue.Admission{}); err == nil ||
		strings.Contains(err.Error(), user) || !strings.Contains(err.Error(), "no connection left") {
		t.Errorf("refused because of %v", err)
	}
	execute(t, "ALTER ROLE "+user+" CONNECTION LIMIT 20")
	acceptSoon(t, s, queue.Admission{})
}

// TestUserLacksPermission fails at once: this does not pass by itself.
func TestUserLacksPermission(t *testing.T) {
	t.Parallel()
	o, user := newUser(t, "")
	s := open(t, o)
	err := s.Join(t.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}})
	if err == nil || strings.Contains(err.Error(), user) || !strings.Contains(err.Error(), "lacks a permission") {
		t.Errorf("joined without a schema: %v", err)
	}
}
