package e2e

import (
	"fmt"
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

// crashQueue runs rounds of: start, deliver, crash at a random moment, recover,
// look into the file. In the end everything is delivered.
func crashQueue(t *testing.T, crash crash, rounds int) {
	t.Logf("repeat with -crash.seed=%d", *crashSeed)
	app := harness.StartApp(t)
	account := newQueueAccount()
	disk, fills := crash.(fullDisk)
	account.mayRepeat = fills && disk.Name == harness.Btrfs.Name
	var caddy *harness.Caddy
	start := func() {
		caddy = harness.NewCaddy(t)
		caddy.Queue = filepath.Join(crash.dir(), "queue.db")
		caddy.ServeQueue(t, harness.QuickRetry+fmt.Sprintf("concurrency %d\nreverse_proxy %s", queueConcurrency, app.Addr))
	}
	for round := range crashes(rounds) {
		rng := rand.New(rand.NewPCG(*crashSeed, uint64(round)))
		// Some events take long, so that they are under way at the crash, and
		// some fail. In each fourth round the application is down.
		app.Behave(harness.Rule{Match: "9 of <", Delay: 50 * time.Millisecond}, harness.Rule{Match: "5 of <", Times: 20, Status: 500})
		down := round%4 == 3
		if down {
			app.Down()
		}
		start()
		if round%2 == 1 {
			checkpoint(caddy)
		}
		load := account.startLoad(t, caddy.URL, 1+rng.IntN(500))
		crash.crash(t, rng, caddy, account.Ledger)
		load.Stop()
		if down {
			app.Up(t)
		} else {
			app.Drain(t)
		}
		crash.recover(t)
		caddy.CheckFile(t)
		account.checkAttempts(t, app.WaitIdle(t))
		account.checkStored(t, caddy.Stored(t, queue.Filter{}))
		if t.Failed() {
			return
		}
	}
	app.Behave()
	start()
	caddy.WaitQueueEmpty(t)
	caddy.Stop()
	account.checkAttempts(t, app.WaitIdle(t))
	account.checkEnd(t)
	for _, e := range caddy.Stored(t, queue.Filter{}) {
		if e.State != queue.Delivered {
			t.Errorf("%s is %s", e.Identity, e.State)
		}
	}
	if info, err := os.Stat(caddy.Queue); err == nil {
		t.Logf("%d attempts, the file has %d KiB", len(app.WaitIdle(t)), info.Size()>>10)
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
