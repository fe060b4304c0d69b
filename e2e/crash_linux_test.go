package e2e

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	crashRounds = flag.Int("crash.rounds", 0, "how often each crash test crashes; 0: 20 times, on a busy machine fewer")
	crashSeed   = flag.Uint64("crash.seed", uint64(time.Now().UnixNano()), "seed of the crash tests")
)

// crashes counts the rounds of a crash test: the fewest are each kind twice.
func crashes() iter.Seq[int] {
	if *crashRounds > 0 {
		return rounds(*crashRounds, *crashRounds)
	}
	return rounds(20, 8)
}

// crashSenders is how many deliveries are under way at a time.
const crashSenders = 32

// ledger holds the ids of deliveries that were acknowledged.
type ledger struct {
	tally        // of what follows
	acknowledged map[string]bool
	refused      int
	after        int           // crash after so many
	reached      chan struct{} // closed then
}

func (l *ledger) acknowledge(ids []string) {
	for _, id := range ids {
		l.acknowledged[id] = true
	}
	if l.after--; l.after == 0 {
		close(l.reached)
	}
}

// storm sends deliveries of one to three events from many senders, until the
// gateway answers no more, or stop is closed.
func (l *ledger) storm(t *testing.T, round int, url string, stop <-chan struct{}) *sync.WaitGroup {
	var senders sync.WaitGroup
	for s := range crashSenders {
		senders.Go(func() {
			client := &http.Client{Transport: new(http.Transport), Timeout: patience}
			defer client.CloseIdleConnections()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				ids, body := events(fmt.Sprintf("%d-%d-%d", round, s, n), 1+n%3)
				resp, err := client.Do(delivery(t, http1, url, secret, body))
				if err != nil {
					return // the gateway was killed
				}
				resp.Body.Close()
				switch resp.StatusCode {
				case http.StatusOK:
					l.add(func() { l.acknowledge(ids) })
				case http.StatusServiceUnavailable:
					l.add(func() { l.refused++ })
				default:
					t.Errorf("an authentic delivery was answered with %s", resp.Status)
				}
			}
		})
	}
	return &senders
}

// events returns a delivery of n events of two fields and their ids.
func events(name string, n int) (ids []string, body []byte) {
	var items []string
	for i := range n {
		id := fmt.Sprintf("%s-%d", name, i)
		ids = append(ids, id)
		items = append(items, fmt.Sprintf(`{"field":"%s","value":{"id":"%s","text":"%s"}}`,
			[]string{"comments", "live_comments"}[i%2], id, strings.Repeat("x", 100*i)))
	}
	return ids, []byte(`{"object":"instagram","entry":[{"id":"17841400000000001","time":1790000000,"changes":[` + strings.Join(items, ",") + `]}]}`)
}

// stored returns the ids in all files below dir, and how many lines are torn.
func stored(t *testing.T, dir string) (ids map[string]int, torn int) {
	t.Helper()
	ids = make(map[string]int)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return ids, 0
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
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
	if err != nil {
		t.Fatal(err)
	}
	return ids, torn
}

// fileConfigs are the ways to store that are crashed in turn.
var fileConfigs = []string{
	"instagram_file %s/one/events.jsonl {\n format meta\n }",
	"instagram_file %s/two/{instagram.field}.jsonl {\n format meta\n }",
	"instagram_file %s/three {\n format meta\n layout files\n }",
	"instagram_file %s/four/events.jsonl {\n format meta\n roll_size 200KB\n }",
}

// startFileGateway starts a gateway that stores below dir, and returns its
// address.
func startFileGateway(t *testing.T, config, dir string) (*gateway, string) {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	return startGateway(t, "", fmt.Sprintf("http://%s {\ninstagram_webhook {\nverify_token x\napp_secret %s\n}\n%s\n}",
		addr, secret, fmt.Sprintf(config, dir))), addr
}

// crash runs rounds of: start, storm, crash at a random moment, recover,
// compare. What was acknowledged must be stored, in every round and after all
// later ones.
func crash(t *testing.T, dir string, crashing func(*gateway, *ledger), recover func()) {
	seed := *crashSeed
	t.Logf("repeat with -crash.seed=%d", seed)
	acknowledged, refused := make(map[string]bool), 0
	done := 0
	for round := range crashes() {
		rng := rand.New(rand.NewPCG(seed, uint64(round)))
		g, addr := startFileGateway(t, fileConfigs[round%len(fileConfigs)], dir)
		l := &ledger{acknowledged: acknowledged, after: 1 + rng.IntN(800), reached: make(chan struct{})}
		stop := make(chan struct{})
		senders := l.storm(t, round, "http://"+addr+"/", stop)
		select {
		case <-l.reached:
		case <-time.After(patience):
			t.Fatalf("round %d: too few deliveries are acknowledged", round)
		}
		crashing(g, l)
		if err := g.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-g.exited
		close(stop)
		senders.Wait()
		recover()
		refused += l.refused

		ids, torn := stored(t, dir)
		if _, torn := stored(t, filepath.Join(dir, "three")); torn > 0 {
			t.Errorf("round %d: %d files are torn", round, torn)
		}
		lost := 0
		for id := range acknowledged {
			if ids[id] == 0 {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("round %d: %d of %d acknowledged events are lost", round, lost, len(acknowledged))
		}
		t.Logf("round %d: %d events acknowledged, %d stored, %d lines torn so far", round, len(acknowledged), len(ids), torn)
		done++
	}
	t.Logf("%d rounds: %d events acknowledged, %d deliveries refused with 503", done, len(acknowledged), refused)
}

// TestFilesSurvivePowerCuts cuts the power of the disk that the events are on,
// and of the processor: the gateway is stopped first. A process that lives on
// would see what no power cut shows, such as an fsync that began before the cut
// and ends well after it, while its data is gone.
func TestFilesSurvivePowerCuts(t *testing.T) {
	needRoot(t)
	t.Parallel()
	v := newVolume(t)
	crash(t, v.dir, func(g *gateway, l *ledger) {
		g.freeze(t)
		v.cutPower(t, &l.tally)
	}, func() { v.restorePower(t) })
}

// freeze stops all threads of the gateway. Those in a system call may finish
// it, but see nothing of its result.
func (g *gateway) freeze(t *testing.T) {
	t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for running := true; running; runtime.Gosched() {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", g.cmd.Process.Pid))
		if err != nil || len(tasks) == 0 {
			t.Fatalf("the gateway has no threads: %v", err)
		}
		running = false
		for _, task := range tasks {
			stat, err := os.ReadFile(task)
			if err != nil {
				continue // the thread has ended
			}
			// The state stands behind the name, which is in parentheses.
			_, state, _ := strings.Cut(string(stat), ") ")
			running = running || !strings.HasPrefix(state, "T") && !strings.HasPrefix(state, "D")
		}
	}
}

// TestFilesSurviveKill kills the gateway, with the disk left alone.
func TestFilesSurviveKill(t *testing.T) {
	t.Parallel()
	crash(t, t.TempDir(), func(*gateway, *ledger) {}, func() {})
}

// TestFilesSurviveAFullDisk fills the disk, and makes room again.
func TestFilesSurviveAFullDisk(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for _, config := range fileConfigs[:3] {
		v := newTmpfs(t, 1<<20)
		filler := filepath.Join(v.dir, ".filler")
		if err := os.WriteFile(filler, make([]byte, 600<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		_, addr := startFileGateway(t, config, v.dir)
		url := "http://" + addr + "/"
		c := newCallerFor(http1, nil, addr, nil)
		t.Cleanup(c.close)
		acknowledged := make(map[string]bool)
		send := func(n int) int {
			ids, body := events(fmt.Sprint(n), 3)
			a := c.mustDo(t, delivery(t, http1, url, secret, body))
			if a.status == http.StatusOK {
				for _, id := range ids {
					acknowledged[id] = true
				}
			}
			return a.status
		}
		n := 0
		for send(n) == http.StatusOK {
			n++
		}
		for range 20 { // full, and asked again
			n++
			if status := send(n); status != http.StatusOK && status != http.StatusServiceUnavailable {
				t.Errorf("a full disk: got %d, want 503", status)
			}
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			n++
			if status := send(n); status != http.StatusOK {
				t.Errorf("there is room again: got %d, want 200", status)
			}
		}
		ids, torn := stored(t, v.dir)
		for id := range acknowledged {
			if ids[id] == 0 {
				t.Errorf("%s is acknowledged and lost", id)
			}
		}
		t.Logf("%d events acknowledged, %d stored, %d lines torn", len(acknowledged), len(ids), torn)
		if torn > 0 {
			t.Errorf("%d lines are torn", torn)
		}
	}
}
