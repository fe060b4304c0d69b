package e2e

import (
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/queue"
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
	needRoot(t)
	t.Parallel()
	v := newVolume(t)
	crashQueue(t, v.dir, func(g *queueGateway, l *queueLedger) {
		g.freeze(t)
		v.cutPower(t, &l.tally)
	}, func() { v.restorePower(t) })
}

// TestQueueSurvivesKill kills the gateway, with the disk left alone.
func TestQueueSurvivesKill(t *testing.T) {
	t.Parallel()
	crashQueue(t, t.TempDir(), func(*queueGateway, *queueLedger) {}, func() {})
}

// checkpoints has the gateway check its queue again and again until it ends. Each
// time all changes are written from the journal to the file.
func (g *queueGateway) checkpoints() {
	go func() {
		client := &http.Client{Transport: new(http.Transport), Timeout: patience}
		defer client.CloseIdleConnections()
		for {
			resp, err := client.Post("http://"+g.admin+"/instagram/queue/check", "", nil)
			if err != nil {
				return
			}
			resp.Body.Close()
		}
	}()
}

// crashQueue runs rounds of: start, storm, crash at a random moment, recover,
// look into the file. In the end everything is delivered.
func crashQueue(t *testing.T, dir string, crashing func(*queueGateway, *queueLedger), recover func()) {
	t.Logf("repeat with -crash.seed=%d", *crashSeed)
	a := startApplication(t)
	l := newQueueLedger()
	var g *queueGateway
	start := func() {
		g = newQueueGateway(t)
		g.file = filepath.Join(dir, "queue.db")
		g.serve(t, quick+"concurrency 8\nreverse_proxy "+a.addr)
	}
	for round := range crashes() {
		rng := rand.New(rand.NewPCG(*crashSeed, uint64(round)))
		// Some events take long, so that they are under way at the crash, and
		// some fail. In each fourth round the application is down.
		a.behave(t, rule{Match: "9 of <", Delay: 50 * time.Millisecond}, rule{Match: "5 of <", Times: 20, Status: 500})
		down := round%4 == 3
		if down {
			a.down(t)
		}
		start()
		if round%2 == 1 {
			g.checkpoints()
		}
		storm := l.storm(t, g.url, 1+rng.IntN(500))
		crashing(g, l)
		if err := g.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-g.exited
		storm.wait()
		if down {
			a.up(t)
		} else {
			a.order(t, "/drain", nil)
		}
		recover()
		l.check(t, a.idle(t))
		l.crashed(t, g.stored(t, queue.Filter{}))
		if t.Failed() {
			return
		}
	}
	a.behave(t)
	start()
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	g.stop()
	l.check(t, a.idle(t))
	if l.repeated != l.open {
		t.Errorf("%d messages came again, want the %d that were not settled at a crash", l.repeated, l.open)
	}
	for conversation, n := range l.acknowledged {
		if l.taken[conversation] < n {
			t.Errorf("%d messages of %s came, %d are acknowledged", l.taken[conversation], conversation, n)
		}
	}
	for _, e := range g.stored(t, queue.Filter{}) {
		if e.State != queue.Delivered {
			t.Errorf("%s is %s", e.Identity, e.State)
		}
	}
	if info, err := os.Stat(g.file); err == nil {
		t.Logf("%d rounds: %d messages acknowledged, %d deliveries refused with 503, %d attempts, %d came again after a crash, the file has %d KiB",
			l.crashes, l.total(), l.refused, len(a.known), l.repeated, info.Size()>>10)
	}
}
