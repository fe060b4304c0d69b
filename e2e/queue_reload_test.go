package e2e

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// queueSender sends the messages of one conversation, each until it is answered.
type queueSender struct {
	*harness.Client
	conversation string
	sent         int
}

// deliver sends the next message.
func (s *queueSender) deliver(t *testing.T) bool {
	answer, err := s.DeliverAgain(t, harness.Messages(fmt.Sprintf("%s.%d", s.conversation, s.sent)))
	if err != nil || answer.Status != http.StatusOK {
		t.Errorf("a delivery is answered with %v %v", answer, err)
		return false
	}
	s.sent++
	return true
}

// TestQueueReloadUnderLoad runs `caddy reload` again and again, to and fro between
// two applications, while deliveries come in and events go out, some of which
// take a while. Nothing may be lost or come twice, and once a reload has ended,
// attempts begin with the application of the new config only.
func TestQueueReloadUnderLoad(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	var apps []*harness.App
	var configs []string
	for range 2 {
		app := harness.StartApp(t,
			harness.Rule{Match: "7 of <slow", Delay: 200 * time.Millisecond}, harness.Rule{Match: "5 of <", Status: 500, Times: 1})
		apps = append(apps, app)
		configs = append(configs, caddy.QueueSite(harness.QuickRetry+"reverse_proxy "+app.Addr))
	}
	caddy.Start(t, configs[0])
	var senders []*queueSender
	for _, name := range []string{"a", "b", "c", "slow1", "slow2", "slow3"} {
		senders = append(senders, &queueSender{Client: caddy.Client(t, harness.HTTP1), conversation: name})
	}

	// While between[i] lasts, the config of application i%2 is the only one.
	type span struct{ begin, end time.Time }
	between := []span{{begin: time.Now()}}
	done := 0
	for i := range harness.Rounds(reloads(), fewReloads) {
		stop := make(chan struct{})
		var running sync.WaitGroup
		for _, s := range senders {
			running.Go(func() {
				for range 20 {
					select {
					case <-stop:
						return
					default:
					}
					if !s.deliver(t) {
						return
					}
				}
			})
		}
		between[i].end = time.Now()
		caddy.Reload(t, configs[(i+1)%2])
		between = append(between, span{begin: time.Now()})
		close(stop)
		running.Wait()
		done++
	}
	total, broken := 0, 0
	for _, s := range senders {
		s.deliver(t)
		total += s.sent
		broken += s.Broken
	}
	caddy.WaitQueueEmpty(t)
	between[done].end = time.Now()

	var all []harness.Attempt
	for i, app := range apps {
		attempts := app.WaitIdle(t)
		t.Logf("%d attempts at application %d", len(attempts), i)
		for _, got := range attempts {
			for n, span := range between {
				if n%2 != i && span.begin.Before(got.Begin) && got.Begin.Before(span.end) {
					t.Errorf("an attempt began with the application of the old config after reload %d", n)
				}
			}
		}
		all = append(all, attempts...)
	}
	slices.SortFunc(all, func(a, b harness.Attempt) int { return a.Begin.Compare(b.Begin) })
	taken := harness.CheckOrder(t, all)
	for _, s := range senders {
		if taken[s.conversation] != s.sent {
			t.Errorf("%d messages of %s came, want %d", taken[s.conversation], s.conversation, s.sent)
		}
	}
	t.Logf("%d reloads: %d messages acknowledged, %d deliveries sent again because the connection broke, %d attempts",
		done, total, broken, len(all))
	caddy.WaitMetric(t, `queue_events_total{consumer="default",field="messages",result="delivered"}`, float64(total))
}

// TestQueueReloadLetsAttemptsEnd reloads while an attempt is under way: it ends
// with the old config, events of others meanwhile go by the new one, and so do
// those that waited behind it.
func TestQueueReloadLetsAttemptsEnd(t *testing.T) {
	t.Parallel()
	old, next := harness.StartApp(t), harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	caddy.Options += "\ngrace_period 1m"
	caddy.ServeQueue(t, harness.QuickRetry+harness.LongTimeout+"reverse_proxy "+old.Addr)
	old.Behave(harness.Rule{Hold: true})
	caddy.Deliver(t, harness.Messages("held.0", "held.1"), 200)
	old.WaitHeld(t, 1)
	reloaded := make(chan struct{})
	go func() {
		defer close(reloaded)
		caddy.ReloadQueue(t, harness.QuickRetry+harness.LongTimeout+"reverse_proxy "+next.Addr)
	}()
	// Until one reaches the new config, these are held too, or wait. The reload may
	// break a connection off.
	client := caddy.Client(t, harness.HTTP1)
	for n := 0; caddy.Metric(t, `queue_events_total{consumer="default",field="messages",result="delivered"}`) == 0; n++ {
		answer, err := client.DeliverAgain(t, harness.Messages(fmt.Sprintf("c%d.0", n)))
		if err != nil || answer.Status != http.StatusOK {
			t.Fatalf("a delivery is answered with %v, %v", answer, err)
		}
	}
	select {
	case <-reloaded:
		t.Error("the reload did not wait for the attempt")
	default:
	}
	for _, got := range next.WaitAttempts(t, 1) {
		if conversation, _ := got.Message(t); conversation == "held" {
			t.Error("an event came while an attempt to deliver the one before was under way")
		}
	}
	old.Behave()
	<-reloaded
	caddy.WaitQueueEmpty(t)
	var at []string
	for _, app := range []*harness.App{old, next} {
		for _, got := range app.WaitIdle(t) {
			if conversation, n := got.Message(t); conversation == "held" {
				at = append(at, fmt.Sprintf("%d at %s", n, app.Addr))
			}
		}
	}
	if want := []string{"0 at " + old.Addr, "1 at " + next.Addr}; !slices.Equal(at, want) {
		t.Errorf("the messages came %q, want %q", at, want)
	}
}

// TestQueueReloadToAnotherStore changes the file, and changes it back. The file
// that no config uses is closed, with what waits in it.
func TestQueueReloadToAnotherStore(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	app.Down()
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	caddy.Deliver(t, harness.Messages("first.0", "first.1", "first.2"), 200)
	first := caddy.Queue
	caddy.Queue = caddy.Out("second/queue.db")
	caddy.ReloadQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	caddy.Deliver(t, harness.Messages("second.0", "second.1"), 200)
	app.Up(t)
	harness.CheckOnce(t, app.WaitDelivered(t, 2), 1, 2)

	second := caddy.Queue
	caddy.Queue = first
	if waiting := caddy.Stored(t, queue.Filter{State: queue.Pending}); len(waiting) != 3 {
		t.Errorf("%d events wait in the file that was left, want 3", len(waiting))
	}
	caddy.ReloadQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	app.WaitDelivered(t, 5)
	caddy.WaitQueueEmpty(t)
	taken := harness.CheckOrder(t, app.WaitIdle(t))
	if taken["first"] != 3 || taken["second"] != 2 {
		t.Errorf("taken are %v", taken)
	}
	if strings.Contains(caddy.AdminGet(t, "/metrics"), second) {
		t.Error("the metrics show a store that was closed")
	}
}

// TestQueueGoesOnAfterAFailedReload loads configs that cannot start: one whose
// store cannot be opened, and one that fails beside the queue, perhaps after
// this was started.
func TestQueueGoesOnAfterAFailedReload(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	right := caddy.QueueSite(harness.QuickRetry + "reverse_proxy " + app.Addr)
	wrong := []string{
		strings.ReplaceAll(right, caddy.Queue, caddy.In),
		right + fmt.Sprintf("\nhttp://%s {\nrespond 200\n}", taken.Addr()),
	}
	for n := range 10 {
		if out, err := caddy.TryReload(t, wrong[n%2]); err == nil {
			t.Errorf("this was loaded:\n%s\n%s", wrong[n%2], out)
		}
		caddy.Deliver(t, harness.Messages(fmt.Sprintf("c.%d", n)), 200)
	}
	caddy.WaitQueueEmpty(t)
	harness.CheckOnce(t, app.WaitIdle(t), 1, 10)
}
