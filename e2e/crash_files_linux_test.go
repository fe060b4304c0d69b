package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// fileConfigs are the ways to store that are crashed in turn.
var fileConfigs = []string{
	"instagram_file %s/one/events.jsonl {\n format meta\n }",
	"instagram_file %s/two/{instagram.field}.jsonl {\n format meta\n }",
	"instagram_file %s/three {\n format meta\n layout files\n }",
	"instagram_file %s/four/events.jsonl {\n format meta\n roll_size 200KB\n }",
}

// startFiles starts a Caddy that stores below dir.
func startFiles(t *testing.T, config, dir string) *harness.Caddy {
	t.Helper()
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, "%s\n%s", harness.Webhook, fmt.Sprintf(config, dir))
	return caddy
}

// TestFilesSurvivePowerCuts cuts the power of the disk that the events are on,
// and of the processor: Caddy is frozen first. A process that lives on would see
// what no power cut shows, such as an fsync that began before the cut and ends
// well after it, while its data is gone.
func TestFilesSurvivePowerCuts(t *testing.T) {
	onVolumes(t, func(t *testing.T, v *harness.Volume) { crashFiles(t, powerCut{v}, 10) }, harness.Ext4, harness.XFS)
}

// TestFilesSurviveKill kills Caddy, with the disk left alone.
func TestFilesSurviveKill(t *testing.T) {
	t.Parallel()
	crashFiles(t, kill{t.TempDir()}, 20)
}

// crashFiles runs rounds of: start, deliver, crash at a random moment, recover,
// compare. What was acknowledged must be stored, in every round and after all
// later ones.
func crashFiles(t *testing.T, crash crash, rounds int) {
	t.Logf("repeat with -crash.seed=%d", *crashSeed)
	ledger := harness.NewLedger()
	done := 0
	for round := range crashes(rounds) {
		rng := rand.New(rand.NewPCG(*crashSeed, uint64(round)))
		caddy := startFiles(t, fileConfigs[round%len(fileConfigs)], crash.dir())
		ledger.Reopen()
		enough := ledger.After(1 + rng.IntN(800))
		var sent [crashSenders]int
		load := harness.StartLoad(t, caddy.URL, crashSenders, ledger, func(sender int) ([]string, []byte) {
			n := sent[sender]
			sent[sender]++
			return comments(fmt.Sprintf("%d-%d-%d", round, sender, n), 1+n%3)
		})
		harness.WaitClosed(t, "enough deliveries are acknowledged", enough)
		crash.crash(t, rng, caddy, ledger)
		load.Stop()
		crash.recover(t)

		stored, torn := storedIn(t, crash.dir())
		if _, torn := storedIn(t, filepath.Join(crash.dir(), "three")); torn > 0 {
			t.Errorf("round %d: %d files are torn", round, torn)
		}
		acknowledged, _ := ledger.Count()
		if lost := ledger.Lost(stored); len(lost) > 0 {
			t.Errorf("round %d: %d of %d acknowledged events are lost", round, len(lost), acknowledged)
		}
		t.Logf("round %d: %d events acknowledged, %d stored, %d lines torn so far", round, acknowledged, len(stored), torn)
		done++
	}
	acknowledged, refused := ledger.Count()
	t.Logf("%d rounds: %d events acknowledged, %d deliveries refused with 503", done, acknowledged, refused)
}

// comments returns a delivery of n events of two fields and their ids.
func comments(name string, n int) (ids []string, body []byte) {
	var items []string
	for i := range n {
		id := fmt.Sprintf("%s-%d", name, i)
		ids = append(ids, id)
		items = append(items, fmt.Sprintf(`{"field":"%s","value":{"id":"%s","text":"%s"}}`,
			[]string{"comments", "live_comments"}[i%2], id, strings.Repeat("x", 100*i)))
	}
	return ids, harness.Changes(items...)
}

// storedIn returns the ids in all files below dir, and how many lines are torn.
func storedIn(t *testing.T, dir string) (ids map[string]int, torn int) {
	t.Helper()
	ids = make(map[string]int)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n") {
			var d struct {
				Entry []struct {
					Changes []struct{ Value struct{ ID string } }
				}
			}
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				torn++
				continue
			}
			ids[d.Entry[0].Changes[0].Value.ID]++
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return ids, torn
}

// TestFilesSurviveAFullDisk fills the disk, and makes room again.
func TestFilesSurviveAFullDisk(t *testing.T) {
	harness.NeedRoot(t)
	t.Parallel()
	for _, config := range fileConfigs[:3] {
		disk := harness.NewTmpfs(t, 1<<20)
		disk.Fill(t, 424<<10)
		caddy := startFiles(t, config, disk.Dir)
		client := caddy.Client(t, harness.HTTP1)
		ledger := harness.NewLedger()
		n := 0
		deliver := func() int {
			n++
			ids, body := comments(fmt.Sprint(n), 3)
			answer := client.Deliver(t, body)
			if answer.Status == http.StatusOK {
				ledger.Add(ids...)
			}
			return answer.Status
		}
		for deliver() == http.StatusOK {
		}
		for range 20 { // full, and asked again
			if status := deliver(); status != http.StatusOK && status != http.StatusServiceUnavailable {
				t.Errorf("a full disk: got %d, want 503", status)
			}
		}
		disk.MakeRoom(t)
		for range 20 {
			if status := deliver(); status != http.StatusOK {
				t.Errorf("there is room again: got %d, want 200", status)
			}
		}
		stored, torn := storedIn(t, disk.Dir)
		for _, id := range ledger.Lost(stored) {
			t.Errorf("%s is acknowledged and lost", id)
		}
		acknowledged, _ := ledger.Count()
		t.Logf("%d events acknowledged, %d stored, %d lines torn", acknowledged, len(stored), torn)
		if torn > 0 {
			t.Errorf("%d lines are torn", torn)
		}
	}
}
