package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/pgtest"
)

// setLayout changes which version of the layout a closed file of SQLite says that it has: the
// user version in its head.
func setLayout(t *testing.T, path string, version uint32) (before uint32) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const offset = 60
	var field [4]byte
	if _, err := f.ReadAt(field[:], offset); err != nil {
		t.Fatal(err)
	}
	before = binary.BigEndian.Uint32(field[:])
	if _, err := f.WriteAt(binary.BigEndian.AppendUint32(nil, version), offset); err != nil {
		t.Fatal(err)
	}
	return before
}

// TestStoreOfANewerVersion has a Caddy start with a queue that only a newer version knows: it
// refuses deliveries and says what to do, other sites are served, and nothing is lost.
func TestStoreOfANewerVersion(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		caddy := harness.NewCaddy(t)
		var before uint32
		newerStore(t, caddy, "store sqlite "+caddy.Queue+"\nmin_free_space 0B",
			func() { before = setLayout(t, caddy.Queue, 99) },
			func() { setLayout(t, caddy.Queue, before) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		server, err := pgtest.Start()
		pgtest.Need(t, err)
		t.Cleanup(server.Stop)
		set := func(sql string) {
			t.Helper()
			if err := server.Execute(sql); err != nil {
				t.Fatal(err)
			}
		}
		newerStore(t, harness.NewCaddy(t, "IG_TEST_DSN="+server.DSN), "store postgres {\ndsn {env.IG_TEST_DSN}\ndurable local\n}",
			func() {
				set("CREATE TABLE instagram.before AS SELECT * FROM instagram.version; UPDATE instagram.version SET number = 99, oldest = 99")
			},
			func() {
				set("UPDATE instagram.version v SET number = b.number, oldest = b.oldest FROM instagram.before b; DROP TABLE instagram.before")
			})
	})
}

func newerStore(t *testing.T, caddy *harness.Caddy, store string, newer, known func()) {
	app := harness.StartApp(t)
	app.Down()
	retries := "retry {\nfirst 10ms\nmax 50ms\n}\n"
	sites := caddy.Site("%s\ninstagram_queue {\n%s\n%sreverse_proxy %s\n}", harness.Webhook, store, retries, app.Addr) +
		caddy.Base("other.localhost") + " {\nrespond \"another site\"\n}\n"
	caddy.Start(t, sites)
	caddy.Deliver(t, harness.MessageToEach(3, 0), 200)
	caddy.Stop()
	newer()

	if out, err := caddy.Run("validate", "--config", caddy.Config(t, sites)); err != nil {
		t.Errorf("caddy validate: %v\n%s", err, out)
	}
	caddy.Start(t, sites)
	caddy.Deliver(t, harness.MessageToEach(3, 1), http.StatusServiceUnavailable)
	caddy.WaitOutput(t, `refusing deliveries: they cannot be stored.*of a newer version.*version 99.*Nothing is lost: run the program that wrote it, or a newer one`)
	client := caddy.Client(t, harness.HTTP1)
	defer client.Close()
	req, err := http.NewRequest(http.MethodGet, caddy.Base("other.localhost"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer := client.Do(t, req); answer.Status != http.StatusOK || !strings.Contains(answer.Body, "another site") {
		t.Errorf("the other site answers %d %q", answer.Status, answer.Body)
	}
	if out, err := caddy.Run("instagram", "queue", "status", "--address", caddy.Admin); err == nil || !strings.Contains(out, "newer version") {
		t.Errorf("the status: %v\n%s", err, out)
	}
	app.Up(t)
	known()
	caddy.Reload(t, sites)
	caddy.Deliver(t, harness.MessageToEach(3, 1), 200)
	harness.CheckOnce(t, app.WaitDelivered(t, 6), 3, 2)
}

// TestQueueOfAnEarlierLayout goes on with a queue that an earlier version of the program has
// left when it was killed, and keeps its file.
func TestQueueOfAnEarlierLayout(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	for _, suffix := range []string{"", "-wal"} {
		packed, err := os.ReadFile(filepath.Join("..", "internal", "queue", "sqlite", "testdata", "layout1-crashed.db"+suffix+".gz"))
		if err != nil {
			t.Fatal(err)
		}
		reader, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(caddy.Queue+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	app := harness.StartApp(t)
	config := harness.QuickRetry
	names := []string{"archive", "bot", "crm", "late"}
	for _, name := range names {
		config += to(name, "reverse_proxy %s", app.Addr)
	}
	caddy.ServeQueue(t, config)
	caddy.WaitOutput(t, "copying the queue, to bring it to the layout of this version")
	caddy.WaitOutput(t, "the queue was brought to the layout of this version, and its file before is kept")
	if out, err := caddy.Run("instagram", "queue", "resume", "archive", "--address", caddy.Admin); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range names {
		caddy.WaitMetric(t, caddy.Gauge("pending_events", name), 0)
	}
	caddy.Stop()
	caddy.CheckFile(t)
	kept, err := filepath.Glob(caddy.Queue + ".layout1-*")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %v, %v", kept, err)
	}
	content, err := os.ReadFile(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	caddy.Queue = caddy.Write(t, "copy.db", string(content))
	caddy.CheckFile(t)
}
