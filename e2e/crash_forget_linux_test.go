package e2e

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestErasureSurvivesPowerCuts cuts the power while people are erased and the file of the
// queue is written anew. See TestFilesSurvivePowerCuts.
func TestErasureSurvivesPowerCuts(t *testing.T) {
	onVolumes(t, func(t *testing.T, v *harness.Volume) { crashErasing(t, powerCut{v}, 10) }, harness.Ext4)
}

// TestErasureSurvivesKill kills Caddy, with the disk left alone.
func TestErasureSurvivesKill(t *testing.T) {
	t.Parallel()
	crashErasing(t, kill{t.TempDir()}, 10)
}

// people knows who has written and who was erased. All have ids of the same form, which
// stand nowhere else.
type people struct {
	*harness.Ledger // of ids, and of ids behind the word erased

	last atomic.Int64

	// Of the one that has people erased, while it runs:
	random *rand.Rand
	asked  map[string]bool
}

// personOf returns the id of a person. Neither it nor a part of it is in that of the message:
// the identity of an event stays.
func personOf(n int64) string { return fmt.Sprintf("1777%011d", n) }

// authorOf returns the person who wrote the message with an identity.
func authorOf(t *testing.T, identity string) string {
	t.Helper()
	n, err := strconv.ParseInt(identity[strings.LastIndexByte(identity, '.')+1:], 10, 64)
	if err != nil {
		t.Fatalf("nobody wrote %s", identity)
	}
	return personOf(n)
}

var personID = regexp.MustCompile(`1777[0-9]{11}`)

// write returns messages of people who have not written before.
func (p *people) write(int) (ids []string, body []byte) {
	var items []string
	for range 3 {
		n := p.last.Add(1)
		id := personOf(n)
		ids = append(ids, id)
		items = append(items, fmt.Sprintf(`{"sender":{"id":"%s"},"recipient":{"id":"17841400000000001"},"timestamp":1790000000000,"message":{"mid":"m.%d","text":"%s"}}`,
			id, n, strings.Repeat("words of "+id+" ", 40)))
	}
	return ids, harness.Messaging(items...)
}

// erase has a person erased, and reports whether the gateway answered at all.
func (p *people) erase(client *http.Client, c *harness.Caddy, id string) bool {
	resp, err := client.Post("http://"+c.Admin+"/instagram/queue/forget?reason=test&user="+id, "", nil)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return false
	}
	if resp.StatusCode == http.StatusOK {
		p.Add("erased " + id)
	}
	return true
}

// keepErasing has people erased at random, one after the other, until Caddy ends.
func (p *people) keepErasing(c *harness.Caddy) (ended <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		client := &http.Client{Transport: new(http.Transport), Timeout: harness.Timeout}
		defer client.CloseIdleConnections()
		for {
			id := personOf(1 + p.random.Int64N(max(p.last.Load(), 1)))
			if !p.Has(id) {
				// Who is not acknowledged yet may be accepted after the erasure, which says
				// nothing then. Which ones are acknowledged is as random as the deliveries, so
				// there is no event to wait for.
				time.Sleep(time.Millisecond)
				continue
			}
			p.asked[id] = true
			if !p.erase(client, c, id) {
				return
			}
		}
	}()
	return done
}

// checkFiles looks for people in the bytes of all files, of whom nothing may be left.
func (p *people) checkFiles(t *testing.T, dir string) {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, at := range personID.FindAllIndex(text, -1) {
			found[string(text[at[0]:at[1]])] = fmt.Sprintf("%s: %q", filepath.Base(path), text[max(0, at[0]-80):min(len(text), at[1]+80)])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, file := range found {
		if p.Has("erased " + id) {
			t.Errorf("%s was erased, and is in %s", id, file)
		}
	}
}

// checkStored looks for those who were not to be erased, of whom everything must be left.
func (p *people) checkStored(t *testing.T, c *harness.Caddy) {
	t.Helper()
	left := make(map[string]bool)
	erased := 0
	for _, e := range c.Stored(t, queue.Filter{Bodies: true}) {
		if id := authorOf(t, e.Identity); strings.Count(string(e.Body), "words of "+id) == 40 {
			left[id] = true
		} else if !e.ErasedAt.IsZero() && len(e.Body) == 0 {
			erased++
		} else {
			t.Errorf("%s is neither whole nor erased: %q", e.Identity, e.Body)
		}
	}
	wrote := 0
	for n := range p.last.Load() {
		id := personOf(n + 1)
		if !p.Has(id) {
			continue // it was not acknowledged
		}
		wrote++
		if !p.asked[id] && !left[id] {
			t.Errorf("%s is lost", id)
		}
	}
	t.Logf("%d people wrote; %d were asked to be erased, %d are erased, %d left", wrote, len(p.asked), erased, len(left))
}

// crashErasing runs rounds of: start, deliver, erase people, crash, look into the files. What
// was acknowledged as erased must be in none of them, and nobody else's words may be lost.
func crashErasing(t *testing.T, crash crash, rounds int) {
	t.Logf("repeat with -crash.seed=%d", *crashSeed)
	p := &people{Ledger: harness.NewLedger(), asked: make(map[string]bool)}
	app := harness.StartApp(t)
	var caddy *harness.Caddy
	start := func() {
		caddy = harness.NewCaddy(t)
		caddy.Queue = filepath.Join(crash.dir(), "queue.db")
		caddy.ServeQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	}
	for round := range crashes(rounds) {
		rng := rand.New(rand.NewPCG(*crashSeed, uint64(round)))
		p.random = rand.New(rand.NewPCG(*crashSeed, uint64(round)+1000))
		// In each third round the events wait, in the others they are delivered.
		if app.Behave(); round%3 == 2 {
			app.Behave(harness.Rule{Status: 500})
		}
		p.Reopen()
		start()
		enough := p.After(1 + rng.IntN(300))
		load := harness.StartLoad(t, caddy.URL, 4, p.Ledger, p.write)
		ended := p.keepErasing(caddy)
		harness.WaitClosed(t, "enough is acknowledged", enough)
		// Nothing is acknowledged while the file is written anew, so the count alone would
		// never end Caddy there. Nothing outside tells how far that is, and any moment is a
		// good one: no assertion depends on how long this takes.
		time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
		crash.crash(t, rng, caddy, p.Ledger)
		load.Stop()
		harness.WaitClosed(t, "the last erasure to end", ended)
		crash.recover(t)
		p.checkFiles(t, crash.dir())
		caddy.CheckFile(t)
		p.checkStored(t, caddy)
		if t.Failed() {
			return
		}
	}
	// What was asked for before a crash is asked for again, and then done.
	p.Reopen()
	start()
	for _, id := range slices.Sorted(maps.Keys(p.asked)) {
		if !p.Has("erased "+id) && !p.erase(http.DefaultClient, caddy, id) {
			t.Fatal("Caddy did not answer")
		}
	}
	caddy.Stop()
	for id := range p.asked {
		if !p.Has("erased " + id) {
			t.Errorf("%s was not erased", id)
		}
	}
	p.checkFiles(t, crash.dir())
	p.checkStored(t, caddy)
}
