package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/queue"
)

// queueSender sends the messages of one conversation, each until it is answered.
type queueSender struct {
	name   string
	caller *caller
	sent   int
	broken int
}

// deliver sends the next message. A connection that breaks at a reload is tried
// again, as Meta does; see sender.
func (s *queueSender) deliver(t *testing.T, url string) bool {
	const attempts = 30
	for range attempts {
		a, err := s.caller.do(delivery(t, http1, url, secret, talks(talk(s.name, s.sent))))
		switch {
		case a == nil:
			s.broken++
			continue
		case err != nil || a.status != http.StatusOK:
			t.Errorf("a delivery is answered with %d %v", a.status, err)
			return false
		}
		s.sent++
		return true
	}
	t.Errorf("%d attempts without an answer", attempts)
	return false
}

// TestQueueReloadUnderLoad runs `caddy reload` again and again, to and fro between
// two applications, while deliveries come in and events go out, some of which
// take a while. Nothing may be lost or come twice, and once a reload has ended,
// attempts begin with the application of the new config only.
func TestQueueReloadUnderLoad(t *testing.T) {
	t.Parallel()
	g := newQueueGateway(t)
	var applications []*application
	var configs []string
	for i := range 2 {
		a := startApplication(t)
		a.behave(t, rule{Match: "7 of <slow", Delay: 200 * time.Millisecond}, rule{Match: "5 of <", Status: 500, Times: 1})
		applications = append(applications, a)
		site := g.site(quick + "reverse_proxy " + a.addr)
		configs = append(configs, g.write(t, fmt.Sprint(i), g.caddyfile("metrics\nauto_https off", site)))
	}
	g.serve(t, quick+"reverse_proxy "+applications[0].addr)
	var senders []*queueSender
	for _, name := range []string{"a", "b", "c", "slow1", "slow2", "slow3"} {
		s := &queueSender{name: name, caller: newCaller(nil, g.addr, nil)}
		t.Cleanup(s.caller.close)
		senders = append(senders, s)
	}

	// While between[i] lasts, the config of application i%2 is the only one.
	between := [][2]int64{{time.Now().UnixMicro(), 0}}
	done := 0
	for i := range rounds(reloads, fewReloads) {
		stop := make(chan struct{})
		var running sync.WaitGroup
		for _, s := range senders {
			running.Go(func() {
				for n := 0; n < 20; n++ {
					select {
					case <-stop:
						return
					default:
					}
					if !s.deliver(t, g.url) {
						return
					}
				}
			})
		}
		between[i][1] = time.Now().UnixMicro()
		g.reload(t, configs[(i+1)%2])
		between = append(between, [2]int64{time.Now().UnixMicro(), 0})
		close(stop)
		running.Wait()
		done++
	}
	total, broken := 0, 0
	for _, s := range senders {
		s.deliver(t, g.url)
		total += s.sent
		broken += s.broken
	}
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	between[done][1] = time.Now().UnixMicro()

	var all []attempt
	for i, a := range applications {
		attempts := a.idle(t)
		t.Logf("%d attempts at application %d", len(attempts), i)
		for _, got := range attempts {
			for n, span := range between {
				if n%2 != i && span[0] < got.Begin && got.Begin < span[1] {
					t.Errorf("an attempt began with the application of the old config after reload %d", n)
				}
			}
		}
		all = append(all, attempts...)
	}
	slices.SortFunc(all, func(a, b attempt) int { return int(a.Begin - b.Begin) })
	taken := inOrder(t, all)
	for _, s := range senders {
		if taken[s.name] != s.sent {
			t.Errorf("%d messages of %s came, want %d", taken[s.name], s.name, s.sent)
		}
	}
	t.Logf("%d reloads: %d messages acknowledged, %d deliveries sent again because the connection broke, %d attempts", done, total, broken, len(all))
	g.awaitMetric(t, `queue_events_total{field="messages",result="delivered"}`, float64(total))
}

// TestQueueReloadLetsAttemptsEnd reloads while an attempt is under way: it ends
// with the old config, events of others meanwhile go by the new one, and so do
// those that waited behind it.
func TestQueueReloadLetsAttemptsEnd(t *testing.T) {
	t.Parallel()
	old, next := startApplication(t), startApplication(t)
	g := newQueueGateway(t)
	g.options += "\ngrace_period 1m"
	g.serve(t, quick+patientQueue+"reverse_proxy "+old.addr)
	old.behave(t, rule{Hold: true})
	g.send(t, talks(talk("held", 0), talk("held", 1)), 200)
	old.awaitHeld(t, 1)
	reloaded := make(chan struct{})
	go func() {
		defer close(reloaded)
		g.change(t, quick+patientQueue+"reverse_proxy "+next.addr)
	}()
	client := &http.Client{Transport: new(http.Transport), Timeout: patience}
	defer client.CloseIdleConnections()
	for n, broken := 0, 0; ; n++ {
		// Until one reaches the new config, these are held too, or wait. The
		// reload may break a connection off.
		resp, err := client.Do(delivery(t, http1, g.url, secret, talks(talk(fmt.Sprintf("c%d", n), 0))))
		if err != nil {
			if broken++; broken > 5 {
				t.Fatal(err)
			}
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("a delivery is answered with %s", resp.Status)
		}
		if g.metric(t, `queue_events_total{field="messages",result="delivered"}`) > 0 {
			break
		}
	}
	select {
	case <-reloaded:
		t.Error("the reload did not wait for the attempt")
	default:
	}
	for _, got := range next.await(t, 1) {
		if conversation, _ := talkOf(t, got.Body); conversation == "held" {
			t.Error("an event came while an attempt to deliver the one before was under way")
		}
	}
	old.behave(t)
	<-reloaded
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	var at []string
	for _, a := range []*application{old, next} {
		for _, got := range a.idle(t) {
			if conversation, n := talkOf(t, got.Body); conversation == "held" {
				at = append(at, fmt.Sprintf("%d at %s", n, a.addr))
			}
		}
	}
	if want := []string{"0 at " + old.addr, "1 at " + next.addr}; !slices.Equal(at, want) {
		t.Errorf("the messages came %q, want %q", at, want)
	}
}

// TestQueueReloadToAnotherStore changes the file, and changes it back. The file
// that no config uses is closed, with what waits in it.
func TestQueueReloadToAnotherStore(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	a.down(t)
	g := newQueueGateway(t)
	g.serve(t, quick+"reverse_proxy "+a.addr)
	g.send(t, talks(talk("first", 0), talk("first", 1), talk("first", 2)), 200)
	first := g.file
	g.file = g.out("second/queue.db")
	g.change(t, quick+"reverse_proxy "+a.addr)
	g.send(t, talks(talk("second", 0), talk("second", 1)), 200)
	a.up(t)
	checkOnce(t, a.awaitDelivered(t, 2), 1, 2)

	second := g.file
	g.file = first
	if waiting := g.stored(t, queue.Filter{State: queue.Pending}); len(waiting) != 3 {
		t.Errorf("%d events wait in the file that was left, want 3", len(waiting))
	}
	g.change(t, quick+"reverse_proxy "+a.addr)
	a.awaitDelivered(t, 5)
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	taken := inOrder(t, a.idle(t))
	if taken["first"] != 3 || taken["second"] != 2 {
		t.Errorf("taken are %v", taken)
	}
	if strings.Contains(g.adminGet(t, "/metrics"), second) {
		t.Error("the metrics show a store that was closed")
	}
}

// TestQueueGoesOnAfterAFailedReload loads configs that cannot start: one whose
// store cannot be opened, and one that fails beside the queue, perhaps after
// this was started.
func TestQueueGoesOnAfterAFailedReload(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	g := newQueueGateway(t)
	g.serve(t, quick+"reverse_proxy "+a.addr)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	right := g.site(quick + "reverse_proxy " + a.addr)
	wrong := []string{
		strings.ReplaceAll(right, g.file, g.in),
		right + fmt.Sprintf("\nhttp://:%d {\nrespond 200\n}", taken.Addr().(*net.TCPAddr).Port),
	}
	for n := range 10 {
		config := g.write(t, "wrong", g.caddyfile("metrics\nauto_https off", wrong[n%2]))
		cmd := exec.Command(caddyBinary, "reload", "--force", "--config", config, "--adapter", "caddyfile", "--address", g.admin)
		cmd.Env = g.env
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("this was loaded:\n%s\n%s", wrong[n%2], out)
		}
		g.send(t, talks(talk("c", n)), 200)
	}
	g.awaitMetric(t, g.gauge("pending_events"), 0)
	checkOnce(t, a.idle(t), 1, 10)
}
