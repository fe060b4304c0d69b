package bolt

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

var (
	damages    = flag.Int("damage.rounds", 45, "how many damaged files are opened")
	damageSeed = flag.Uint64("damage.seed", uint64(time.Now().UnixNano()), "seed of the damages")
)

// damagedVariable names the directory of damaged files that a process of its own
// opens.
const damagedVariable = "QUEUE_DAMAGED"

func expectRefusal(t *testing.T, path, part string) {
	t.Helper()
	s, err := Open(path, zap.NewNop)
	if err == nil {
		err = s.Close()
		t.Errorf("%s was opened, and closed: %v", path, err)
	} else if !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %q, want one with %q and the path", err, part)
	}
}

// TestSecondOpener opens a file twice.
func TestSecondOpener(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *Store) {
		start := time.Now()
		expectRefusal(t, s.path, "in use by another process")
		if waited := time.Since(start); waited > lockTimeout {
			t.Errorf("waited for %s", waited)
		}
		accept(t, s, record("a", ""))
	})
}

// TestForeignFiles opens what is no queue, and must leave it as it is.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := func(name string, fill func(*bbolt.Tx) error) string {
		path := filepath.Join(dir, name)
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(fill), db.Close()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, part := range map[string]string{
		write("empty", ""):                                      "empty",
		write("short", "{}"):                                    "is no queue",
		write("text", strings.Repeat("text\n", 9999)):           "is no queue",
		write("zeros", string(make([]byte, 99999))):             "is no queue",
		database("other", func(*bbolt.Tx) error { return nil }): "file of another program",
		database("later", func(tx *bbolt.Tx) error {
			return errors.Join(createBuckets(tx), tx.Bucket(bucketMeta).Put(keyVersion, number(layoutVersion+1)))
		}): "version",
		database("uncounted", func(tx *bbolt.Tx) error {
			return errors.Join(createBuckets(tx), tx.Bucket(bucketMeta).Delete(keyCounts))
		}): "counts are damaged",
		dir: "is a directory",
	} {
		before, _ := os.ReadFile(path)
		expectRefusal(t, path, part)
		if after, _ := os.ReadFile(path); string(before) != string(after) {
			t.Errorf("%s was changed", path)
		}
	}
}

// TestInterruptedCreation begins with what a crash left behind.
func TestInterruptedCreation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	for _, left := range []string{path + ".new", path + ".compact"} {
		if err := os.WriteFile(left, []byte("unfinished"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := openStore(t, path)
	accept(t, s, record("a", ""))
	if _, _, err := s.Compact(ctx); err != nil {
		t.Error(err)
	}
	check(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("there are %v, %v", files, err)
	}
}

// TestDamagedFiles cuts files off, and replaces pages. Such a file must be refused,
// or work as far as it can: never may the process end, since much else is served
// by it.
func TestDamagedFiles(t *testing.T) {
	if dir := os.Getenv(damagedVariable); dir != "" {
		useDamaged(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(t.TempDir(), "queue.db")
	s := openStore(t, path)
	for i := range 30 {
		accept(t, s, batch(fmt.Sprint(i), 20)...)
	}
	accept(t, s, thick("large"))
	for _, e := range due(t, s, 100) {
		settle(t, s, e, queue.Outcome{State: queue.Delivered})
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var used int // the file ends with what was never written
	if err := s.view(func(tx *bbolt.Tx) error {
		used = int(tx.Size())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("repeat with -damage.seed=%d", *damageSeed)
	for round := range *damages {
		rng := rand.New(rand.NewPCG(*damageSeed, uint64(round)))
		damaged := append([]byte(nil), content[:used]...)
		name := ""
		switch at := rng.IntN(used) / 4096 * 4096; round % 3 {
		case 0:
			damaged = damaged[:rng.IntN(used)]
			name = fmt.Sprintf("cut-%d", len(damaged))
		case 1: // never written
			clear(damaged[at : at+4096])
			name = fmt.Sprintf("zeros-%d", at)
		case 2: // written to the wrong place
			copy(damaged[at:], content[rng.IntN(used)/4096*4096:][:4096])
			name = fmt.Sprintf("other-%d", at)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d-%s.db", round, name)), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDamagedFiles$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), damagedVariable+"="+dir, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	lines := strings.Split(string(out), "\n")
	if err != nil {
		t.Errorf("%v:\n%s", err, strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
	if refused := strings.Count(string(out), "refused:"); refused < *damages/4 {
		t.Errorf("%d of %d files were refused", refused, *damages)
	}
}

// useDamaged does everything with damaged files.
func useDamaged(t *testing.T, dir string) {
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Log(file.Name())
		s, err := Open(filepath.Join(dir, file.Name()), zap.NewNop)
		if err != nil {
			t.Logf("refused: %v", err)
			continue
		}
		tell := func(err error) {
			if err != nil {
				t.Logf("found: %.300v", err)
			}
		}
		tell(s.Check(ctx))
		_, err = s.Accept(ctx, batch("more", 20), queue.Admission{Dedupe: time.Hour})
		tell(err)
		waiting, cancel := context.WithTimeout(ctx, time.Minute)
		events, err := s.Lease(waiting, 20)
		cancel()
		tell(err)
		for _, e := range events {
			tell(s.Settle(ctx, e, queue.Outcome{State: queue.Dead}))
		}
		_, err = s.List(ctx, queue.Filter{Bodies: true})
		tell(err)
		_, err = s.Requeue(ctx, queue.Filter{}, 0)
		tell(err)
		_, err = s.Expire(ctx, queue.Retention{})
		tell(err)
		tell(s.Close())
	}
}
