package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
	"github.com/caddy-instagram/webhooks/internal/pgtest"
)

// receiver is an application of examples/receivers that runs.
type receiver struct {
	directives         string // that pass a request to it
	handled, processed string // its tables: what it handled, and what came of it
	signed             bool   // it takes only what the gateway has signed
}

// TestReceivers has the applications of the documentation take events from a gateway, while
// their database fails, and again once they had them all.
func TestReceivers(t *testing.T) {
	t.Parallel()
	server, port := startDatabases(t)
	for name, start := range map[string]func(*testing.T, database) receiver{
		"php": startPlainPHP, "php_signed": startSignedPHP, "laravel": startLaravel, "symfony": startSymfony, "django": startDjango,
		"express": startExpress, "sinatra": startSinatra, "spring": startSpring,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := server.Execute("CREATE DATABASE " + name); err != nil {
				t.Fatal(err)
			}
			db := database{name, port}
			r := start(t, db)
			testReceiver(t, db, r)
		})
	}
}

// testReceiver has two consumers deliver every event to a receiver at about the same time.
func testReceiver(t *testing.T, db database, r receiver) {
	caddy := harness.NewCaddy(t)
	caddy.Start(t, caddy.QueueSite(harness.QuickRetry+"to one {\n"+r.directives+"\n}\nto two {\n"+r.directives+"\n}")+
		caddy.Base("past.localhost")+" {\n"+r.directives+"\n}\n")

	others := [][]byte{
		sample.New(1).Delivery(sample.StyleOf("comments"), 1, "comments"),
		sample.New(1).TestButton("messages"),
		[]byte("not JSON"),
	}
	messages := sample.New(2).Delivery(sample.StyleOf("messages"), 12, "messages")
	events := len(event.Split(messages)) + len(others)

	// While the work fails, nothing is noted as handled that is not.
	db.execute(t, "ALTER TABLE "+r.processed+" RENAME TO unavailable")
	for _, body := range append(others, messages) {
		caddy.Deliver(t, body, 200)
	}
	for _, consumer := range []string{"one", "two"} {
		caddy.WaitMetricThat(t, fmt.Sprintf("queue_failed_attempts_total{consumer=%q,reason=\"500\"}", consumer), func(n float64) bool { return n >= 3 })
	}
	harness.Wait(t, "what needs no work is handled", func() bool { return db.count(t, r.handled) >= len(others) })
	if n := db.count(t, r.handled); n != len(others) {
		t.Errorf("%d events are noted as handled, want %d", n, len(others))
	}

	db.execute(t, "ALTER TABLE unavailable RENAME TO "+r.processed)
	caddy.Deliver(t, messages, 200) // a duplicate
	waitTaken(t, caddy)
	want := messagesIn(t, messages)
	check := func(when string) {
		t.Helper()
		if got := db.messages(t, r.processed); !slices.Equal(got, want) {
			t.Errorf("%s: the receiver has\n%q, want\n%q", when, got, want)
		}
		if n := db.count(t, r.handled); n != events {
			t.Errorf("%s: %d events are noted as handled, want %d", when, n, events)
		}
	}
	check("after a failure of the database")

	// Connections end, those of a pool that wait for work, and then those that do some.
	db.disconnect(t)
	again := func() {
		t.Helper()
		if n := retryDelivered(t, caddy); n != 2*events {
			t.Errorf("%d events are delivered again, want %d", n, 2*events)
		}
	}
	again()
	waitTaken(t, caddy)
	db.lock(t, r.handled, func() {
		again()
		harness.Wait(t, "the receiver waits for its table", func() bool {
			return db.count(t, "pg_locks WHERE NOT granted AND relation = '"+r.handled+"'::regclass") > 0
		})
		db.disconnect(t)
	})
	waitTaken(t, caddy)
	check("after all events came again, and the database ended all connections")

	past := caddy.Base("past.localhost") + "/webhooks"
	client := harness.NewClient(t, harness.HTTP1, past, caddy.Addr, nil, nil)
	req := harness.NewDelivery(t, harness.HTTP1, past, harness.Secret, messages)
	req.Header.Set("Ce-Type", "com.instagram.messages") // so that only the key is missing
	if answer := client.Do(t, req); answer.Status < 400 {
		t.Errorf("a request without Idempotency-Key is answered with %d", answer.Status)
	}
	if r.signed {
		req = harness.NewDelivery(t, harness.HTTP1, past, "another secret", messages)
		req.Header.Set("Idempotency-Key", "of a stranger")
		req.Header.Set("Ce-Type", "com.instagram.messages")
		if answer := client.Do(t, req); answer.Status != http.StatusForbidden {
			t.Errorf("a request with the signature of a stranger is answered with %d", answer.Status)
		}
	}
	check("after requests that are not from the queue")
}

// waitTaken returns when both consumers have taken all events.
func waitTaken(t *testing.T, caddy *harness.Caddy) {
	t.Helper()
	for _, consumer := range []string{"one", "two"} {
		caddy.WaitMetric(t, caddy.Gauge("pending_events", consumer), 0)
		caddy.CheckMetric(t, caddy.Gauge("dead_events", consumer), 0)
	}
}

// retryDelivered has all events delivered once more, and returns how many these are.
func retryDelivered(t *testing.T, caddy *harness.Caddy) int {
	t.Helper()
	resp, err := http.Post("http://"+caddy.Admin+"/instagram/queue/retry?state=delivered&rate=1000", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	var answer struct{ Count int }
	if err != nil || json.Unmarshal(text, &answer) != nil {
		t.Fatalf("%s: %q, %v", resp.Status, text, err)
	}
	return answer.Count
}

// messagesIn returns the messages of a delivery as database.messages does.
func messagesIn(t *testing.T, delivery []byte) (all []string) {
	t.Helper()
	for _, e := range event.Split(delivery) {
		var one struct {
			Entry []struct {
				ID        string
				Messaging []struct {
					Sender  struct{ ID string }
					Message struct{ Text string }
				}
			}
		}
		if err := json.Unmarshal(e.Envelope(), &one); err != nil {
			t.Fatal(err)
		}
		in := one.Entry[0]
		all = append(all, strings.Join([]string{in.ID, in.Messaging[0].Sender.ID, in.Messaging[0].Message.Text}, " "))
	}
	slices.Sort(all)
	return all
}

// startDatabases starts a server for the databases of all receivers.
func startDatabases(t *testing.T) (server *pgtest.Server, port int) {
	t.Helper()
	port = harness.FreePort(t)
	server, err := pgtest.New("fsync=off", "listen_addresses=127.0.0.1", fmt.Sprintf("port=%d", port))
	pgtest.Need(t, err)
	t.Cleanup(server.Stop)
	server.DSN += fmt.Sprintf(" port=%d", port)
	if err := server.Init(); err != nil {
		t.Fatal(err)
	}
	return server, port
}

// database is that of a receiver.
type database struct {
	name string
	port int
}

// url is where it is, as most libraries take it.
func (d database) url() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s", d.port, d.name)
}

// create makes the tables of the documentation.
func (d database) create(t *testing.T) {
	t.Helper()
	schema, err := os.ReadFile("../examples/receivers/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	d.execute(t, string(schema))
}

func (d database) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.url())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (d database) execute(t *testing.T, sql string) {
	t.Helper()
	conn := d.connect(t)
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// disconnect ends all connections.
func (d database) disconnect(t *testing.T) {
	t.Helper()
	d.execute(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
}

// lock runs something while nobody can use a table.
func (d database) lock(t *testing.T, table string, run func()) {
	t.Helper()
	conn := d.connect(t)
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE "+table); err != nil {
		t.Fatal(err)
	}
	run()
}

func (d database) count(t *testing.T, table string) (n int) {
	t.Helper()
	conn := d.connect(t)
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// messages returns the account, the sender and the text of each message.
func (d database) messages(t *testing.T, table string) []string {
	t.Helper()
	conn := d.connect(t)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), "SELECT account || ' ' || sender || ' ' || coalesce(text, '') FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}
