package sqlite

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// unpacked returns a file of testdata.
func unpacked(t *testing.T, name string) []byte {
	t.Helper()
	packed, err := os.Open(filepath.Join("testdata", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	reader, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// stored is an event of a fixture, as the program that made it has listed it.
type stored struct {
	Consumer, Identity, State, Lane, Conversation, Account, Error, Body string
	ID                                                                  uint64
	Attempts                                                            int
}

func readStored(t *testing.T, layout int) (all []stored) {
	t.Helper()
	if err := json.Unmarshal(unpacked(t, fmt.Sprintf("layout%d.json", layout)), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func storedIn(t *testing.T, s *Store) (all []stored) {
	t.Helper()
	events, err := s.List(ctx, queue.Filter{Bodies: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		all = append(all, stored{e.Consumer, e.Identity, fmt.Sprint(e.State), fmt.Sprint(e.Lane), e.Conversation, e.Account, e.LastError,
			string(e.Body), e.ID, e.Attempts})
	}
	slices.SortFunc(all, func(a, b stored) int { return cmp.Or(cmp.Compare(a.Consumer, b.Consumer), cmp.Compare(a.ID, b.ID)) })
	return all
}

// layouts calls do with a queue of each earlier layout, and of this one, as the program that
// made it has left it: closed in order, or killed.
func layouts(t *testing.T, do func(t *testing.T, layout int, path string)) {
	for layout := 1; layout <= layoutVersion; layout++ {
		for _, how := range []string{"", "-crashed"} {
			t.Run(fmt.Sprintf("layout%d%s", layout, how), func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "queue.db")
				unpackLayout(t, layout, how, path)
				do(t, layout, path)
			})
		}
	}
}

func unpackLayout(t *testing.T, layout int, how, path string) {
	t.Helper()
	name := fmt.Sprintf("layout%d%s.db", layout, how)
	write(t, path, unpacked(t, name))
	if how != "" {
		write(t, path+walSuffix, unpacked(t, name+walSuffix))
	}
}

// TestEarlierLayouts opens queues that earlier programs have made: all is as it was, and is
// delivered in order. Whoever changes schema.sql adds a fixture, which is not changed any more.
func TestEarlierLayouts(t *testing.T) {
	t.Parallel()
	layouts(t, func(t *testing.T, layout int, path string) {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, zap.NewNop)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		want := readStored(t, layout)
		if got := storedIn(t, s); !slices.Equal(got, want) {
			t.Errorf("the queue has\n%+v, want\n%+v", got, want)
		}
		check(t, s)
		kept, err := keptFiles(path)
		if migrated := layout < layoutVersion; err != nil || migrated != (len(kept) == 1) {
			t.Fatalf("kept %v, %v", kept, err)
		} else if migrated {
			mustBeKept(t, kept[0].path, layout, before)
		}
		deliverInOrder(t, s, want)
		check(t, s)
		again := record(want[0].Identity, "")
		if _, err := s.Accept(ctx, []queue.Record{again}, queue.Admission{Dedupe: 100 * 365 * 24 * time.Hour, Consumers: []string{"crm"}}); err != nil {
			t.Error(err)
		} else if stats, err := s.Stats(ctx); err != nil || queue.StatsOf(stats, "crm").Pending != 0 {
			t.Errorf("a duplicate was accepted: %+v, %v", stats, err)
		}
	})
}

// mustBeKept looks whether a file is that of before, and is a whole queue by itself.
func mustBeKept(t *testing.T, path string, layout int, before []byte) {
	t.Helper()
	if name := filepath.Base(path); !strings.HasPrefix(name, fmt.Sprintf("queue.db.layout%d-20", layout)) {
		t.Errorf("it is called %s", name)
	}
	db, err := connect(path, mainOnly, readerCache)
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	version, err := db.number("PRAGMA user_version")
	if err != nil || version != int64(layout) {
		t.Errorf("the file that was kept has layout %d, %v", version, err)
	}
	if result, err := db.text("PRAGMA integrity_check(1)"); err != nil || result != "ok" {
		t.Errorf("the file that was kept is %s, %v", result, err)
	}
	if events, err := db.number("SELECT count(*) FROM event"); err != nil || events == 0 {
		t.Errorf("the file that was kept has %d events, %v", events, err)
	}
	if now, err := os.ReadFile(path); err != nil || len(before) > len(now) {
		t.Errorf("the file that was kept has %d bytes, %v, and had %d", len(now), err, len(before))
	}
}

// deliverInOrder delivers what waits, and looks whether no event of a sequence overtakes another.
func deliverInOrder(t *testing.T, s *Store, all []stored) {
	t.Helper()
	if err := s.Pause(ctx, "archive", false); err != nil {
		t.Fatal(err)
	}
	waits := make(map[string][]uint64) // by consumer
	byID := make(map[uint64]stored)
	for _, e := range all {
		if byID[e.ID] = e; e.State == string(queue.Pending) {
			waits[e.Consumer] = append(waits[e.Consumer], e.ID)
		}
	}
	for _, name := range []string{"archive", "bot", "crm", "late"} {
		var got []uint64
		last := make(map[string]uint64)
		for len(got) < len(waits[name]) {
			lease, cancel := context.WithTimeout(ctx, 10*time.Second)
			events, _, err := s.Lease(lease, name, 7)
			cancel()
			if err != nil {
				t.Fatalf("%s got %d of %d: %v", name, len(got), len(waits[name]), err)
			}
			for _, e := range events {
				got = append(got, e.ID)
				if sequence := sequenceOf(name, byID[e.ID]); sequence != "" && e.Requeued.IsZero() {
					if last[sequence] > e.ID {
						t.Errorf("%s got %d after %d", name, e.ID, last[sequence])
					}
					last[sequence] = e.ID
				}
				settle(t, s, e, queue.Outcome{State: queue.Delivered})
			}
		}
		if slices.Sort(got); !slices.Equal(got, waits[name]) {
			t.Errorf("%s got %v, want %v", name, got, waits[name])
		}
	}
}

// sequenceOf returns what an event of a fixture waits in.
func sequenceOf(consumer string, e stored) string {
	switch {
	case consumer == "archive":
		return ""
	case consumer == "bot", consumer == "crm" && e.ID > 27: // when its order was changed
		return "account " + e.Account
	case e.Conversation == "":
		return ""
	}
	return "conversation " + e.Conversation
}

// TestKeptFileIsRemoved with the person that may be in it, when it is old, and when there is
// a newer one.
func TestKeptFileIsRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	unpackLayout(t, 1, "", path)
	foreign := []string{path + ".layout1", path + ".layout1-20250101T000000Z.txt", path + ".layoutx-20250101T000000Z", path + "x.layout1-20250101T000000Z"}
	for _, name := range foreign {
		write(t, name, nil)
	}
	older := path + ".layout1-20250101T000000Z"
	write(t, older, nil)
	s := openStore(t, path)
	mustHave := func(when string, n int) {
		t.Helper()
		if kept, err := keptFiles(path); err != nil || len(kept) != n {
			t.Errorf("%s: kept %v, %v", when, kept, err)
		}
	}
	mustHave("after the migration", 1)
	if _, err := os.Stat(older); err == nil {
		t.Error("an older file is still there")
	}
	erasure := queue.Erasure{Subject: queue.Subject{User: "nobody"}, At: time.Now(), Because: "asked for", DryRun: true}
	if _, err := s.Erase(ctx, erasure); err != nil {
		t.Error(err)
	}
	mustHave("after a dry run", 1)
	if in(t, s, "text of event") == 0 {
		t.Error("the fixture has no text")
	}
	erasure.DryRun = false
	if _, err := s.Erase(ctx, erasure); err != nil {
		t.Error(err)
	}
	mustHave("after an erasure", 0)

	for age, stays := range map[time.Duration]int{6 * 24 * time.Hour: 1, 29 * 24 * time.Hour: 1, 31 * 24 * time.Hour: 0} {
		write(t, path+".layout1-"+time.Now().Add(-age).UTC().Format(keptTime), nil)
		if _, err := s.Expire(ctx, queue.Retention{Dead: 30 * 24 * time.Hour}); err != nil {
			t.Error(err)
		}
		mustHave(fmt.Sprint("after ", age), stays)
		if err := s.removeKept(0, time.Time{}); err != nil {
			t.Error(err)
		}
	}
	for _, name := range foreign {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("a file of somebody else: %v", err)
		}
	}
}

// TestMigrationRefused is an error that leaves the file as it was, while somebody reads it.
func TestMigrationRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	unpackLayout(t, 1, "-crashed", path)
	reader, err := connect(path, readWrite, readerCache)
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.script("BEGIN; SELECT count(*) FROM event"); err != nil {
		t.Fatal(err)
	}
	_, err = Open(path, zap.NewNop)
	if !errors.Is(err, queue.ErrMigration) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "Close that program") {
		t.Errorf("opened: %v", err)
	}
	if err := errors.Join(reader.script("COMMIT"), reader.close()); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, path)
	if got, want := storedIn(t, s), readStored(t, 1); !slices.Equal(got, want) {
		t.Errorf("the queue has\n%+v, want\n%+v", got, want)
	}
}

// TestKeepWithoutLinks copies a file where the file system has no links.
func TestKeepWithoutLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, kept := filepath.Join(dir, "queue.db"), filepath.Join(dir, "kept")
	write(t, path, []byte("events"))
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := copyKept(path, kept); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(kept)
	info, statErr := os.Stat(kept)
	if err != nil || statErr != nil || !bytes.Equal(content, []byte("events")) || info.Mode().Perm() != 0o640 {
		t.Errorf("kept %q, %v, %v", content, info, errors.Join(err, statErr))
	}
}

// TestMigrationTellsHowFarItIs reads in the log what Caddy waits for.
func TestMigrationTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	write(t, path, make([]byte, 100))
	write(t, path+migratingSuffix, make([]byte, 30))
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		s := &Store{path: path, logger: func() *zap.Logger { return zap.New(core) }}
		stop := s.logProgress(path + migratingSuffix)
		time.Sleep(2*progressEvery + progressEvery/2)
		stop()
		time.Sleep(progressEvery)
		all := logs.FilterMessageSnippet("copying the queue").FilterField(zap.Int64("bytes", 100)).All()
		if copied := len(logs.FilterField(zap.Int64("copied", 30)).All()); len(all) != 3 || logs.Len() != 3 || copied != 2 || all[0].ContextMap()["copied"] != int64(0) {
			t.Errorf("it logs %v", logs.All())
		}
	})
}
