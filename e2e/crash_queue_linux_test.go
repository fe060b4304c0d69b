package e2e

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// queueConcurrency is that of the crash tests: fewer than there are
// conversations, so that it bounds something.
const queueConcurrency = 8

// maxRepeated is how many events that the application has taken may come again
// after a crash: those whose settlement was not on disk. The dispatcher begins no
// attempt while queueConcurrency attempts have ended and are not settled, and
// lets no more than queueConcurrency run. So when the last attempt began, at most
// queueConcurrency-1 were unsettled, and at most queueConcurrency ran, itself
// included. Of a conversation there is at most one among them.
const maxRepeated = 2*queueConcurrency - 1

// TestQueueSurvivesPowerCuts cuts the power of the disk that the queue is on, and
// of the processor. See TestFilesSurvivePowerCuts.
func TestQueueSurvivesPowerCuts(t *testing.T) {
	onVolumes(t, func(t *testing.T, v *harness.Volume) { crashQueue(t, powerCut{v}, 10) }, harness.Ext4, harness.XFS)
}

// TestQueueSurvivesKill kills Caddy, with the disk left alone.
func TestQueueSurvivesKill(t *testing.T) {
	t.Parallel()
	crashQueue(t, kill{t.TempDir()}, 20)
}

// crashQueue runs rounds of: start, deliver to several consumers, crash at a random moment,
// recover, look into the file. In the end everything is delivered to each of them.
func crashQueue(t *testing.T, crash crash, rounds int) {
	t.Logf("repeat with -crash.seed=%d", *crashSeed)
	account := &queueAccount{Ledger: harness.NewLedger()}
	disk, fills := crash.(fullDisk)
	account.mayRepeat = fills && disk.Name == harness.Btrfs.Name
	healthy, poisoned, down := account.consumer(t, "healthy"), account.consumer(t, "poisoned"), account.consumer(t, "down")
	consumers := []*consumerAccount{healthy, poisoned, down}
	config := harness.QuickRetry + fmt.Sprintf("concurrency %d\n", queueConcurrency)
	for _, c := range consumers {
		config += to(c.name, "reverse_proxy %s", c.app.Addr)
	}
	var caddy *harness.Caddy
	start := func() {
		caddy = harness.NewCaddy(t)
		caddy.Queue = filepath.Join(crash.dir(), "queue.db")
		caddy.ServeQueue(t, config)
	}
	for round := range crashes(rounds) {
		rng := rand.New(rand.NewPCG(*crashSeed, uint64(round)))
		// Some events take long, so that they are under way at the crash, and some fail: of
		// one consumer a few attempts, of another one all in each second round. In two of
		// four rounds the third is down.
		slow := harness.Rule{Match: "9 of <", Delay: 50 * time.Millisecond}
		healthy.app.Behave(slow, harness.Rule{Match: "5 of <", Times: 20, Status: 500})
		poisoned.app.Behave(slow)
		if round%2 == 0 {
			poisoned.app.Behave(slow, harness.Rule{Match: "5 of <", Status: 500})
		}
		isDown := round%4 >= 2
		if isDown {
			down.app.Down()
		}
		start()
		if round%2 == 1 {
			checkpoint(caddy)
		}
		load := account.startLoad(t, caddy.URL, 1+rng.IntN(500))
		crash.crash(t, rng, caddy, account.Ledger)
		load.Stop()
		for _, c := range consumers {
			if c == down && isDown {
				c.app.Up(t)
			} else {
				c.app.Drain(t)
			}
		}
		crash.recover(t)
		caddy.CheckFile(t)
		stored := caddy.Stored(t, queue.Filter{})
		for _, c := range consumers {
			c.checkAttempts(t)
			c.checkStored(t, stored)
		}
		account.crashes++
		if t.Failed() {
			return
		}
	}
	for _, c := range consumers {
		c.app.Behave()
	}
	start()
	for _, c := range consumers { // as long as it goes on: on a busy machine it takes long
		for left := math.Inf(1); left > 0; {
			harness.Wait(t, fmt.Sprintf("fewer than %v events wait for %s", left, c.name), func() bool {
				now, known := caddy.LookupMetric(t, caddy.Gauge("pending_events", c.name))
				less := known && now < left
				if less {
					left = now
				}
				return less
			})
		}
	}
	caddy.Stop()
	for _, c := range consumers {
		c.checkAttempts(t)
		c.checkEnd(t)
	}
	for _, e := range caddy.Stored(t, queue.Filter{}) {
		if e.State != queue.Delivered {
			t.Errorf("%s: %s is %s", e.Consumer, e.Identity, e.State)
		}
	}
	if info, err := os.Stat(caddy.Queue); err == nil {
		t.Logf("the file has %d KiB", info.Size()>>10)
	}
}

// checkpoint has Caddy check its queue again and again until it ends. Each time
// all changes are written from the journal to the file.
func checkpoint(caddy *harness.Caddy) {
	go func() {
		client := &http.Client{Transport: new(http.Transport), Timeout: harness.Timeout}
		defer client.CloseIdleConnections()
		for {
			resp, err := client.Post("http://"+caddy.Admin+"/instagram/queue/check", "", nil)
			if err != nil {
				return
			}
			resp.Body.Close()
		}
	}()
}
