package e2e

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// to is the block of a consumer.
func to(name, format string, args ...any) string {
	return "to " + name + " {\n" + fmt.Sprintf(format, args...) + "\n}\n"
}

// taken returns the identities of the events that an application has taken, in order.
func taken(attempts []harness.Attempt) (ids []string) {
	for i := range attempts {
		if attempts[i].Delivered() {
			ids = append(ids, attempts[i].ID())
		}
	}
	return ids
}

// TestQueueConsumers has an application that wants one field, another one that is down,
// and an archive. Each gets what it wants, once, and nobody waits for the one that is down.
func TestQueueConsumers(t *testing.T) {
	t.Parallel()
	crm, bot := harness.StartApp(t, harness.Rule{Match: "3 of <c0>", Status: 500, Times: 2}), harness.StartApp(t)
	bot.Down()
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+"order account\n"+
		to("crm", "fields messages\norder conversation\nreverse_proxy %s", crm.Addr)+
		to("bot", "reverse_proxy %s", bot.Addr)+
		to("archive", "instagram_file %s", caddy.Out("{instagram.field}.jsonl")))
	const conversations, each, comments = 3, 5, 4
	for n := range each {
		caddy.Deliver(t, harness.MessageToEach(conversations, n), 200)
	}
	for n := range comments {
		caddy.Deliver(t, harness.Comment(fmt.Sprint(n)), 200)
	}
	caddy.Deliver(t, harness.MessageToEach(conversations, 0), 200) // duplicates
	const messages, all = conversations * each, conversations*each + comments

	crm.WaitDelivered(t, messages)
	caddy.WaitMetric(t, caddy.Gauge("pending_events", "archive"), 0)
	if m, c := caddy.Lines(t, "messages.jsonl"), caddy.Lines(t, "comments.jsonl"); len(m) != messages || len(c) != comments {
		t.Errorf("%d messages and %d comments are in the archive, want %d and %d", len(m), len(c), messages, comments)
	}
	caddy.CheckMetric(t, caddy.Gauge("pending_events", "bot"), all)

	bot.Up(t)
	bot.WaitDelivered(t, all)
	ids := taken(bot.WaitIdle(t))
	for name, app := range map[string]*harness.App{"crm": crm, "bot": bot} {
		caddy.WaitMetric(t, caddy.Gauge("pending_events", name), 0)
		var ofMessages []harness.Attempt
		for _, got := range app.WaitIdle(t) {
			if name := got.Header.Get("X-Instagram-Consumer"); app == crm && name != "crm" || app == bot && name != "bot" {
				t.Errorf("an attempt says that it is for %q", name)
			}
			if strings.Contains(got.ID(), "/messages/") {
				ofMessages = append(ofMessages, got)
			}
		}
		harness.CheckOnce(t, ofMessages, conversations, each)
	}
	for _, id := range taken(crm.WaitIdle(t)) {
		if !slices.Contains(ids, id) {
			t.Errorf("%s has another identity for the other consumer", id)
		}
	}
	for metric, want := range map[string]float64{
		`queue_events_total{consumer="",field="messages",result="accepted"}`:         messages,
		`queue_events_total{consumer="",field="messages",result="duplicate"}`:        conversations,
		`queue_events_total{consumer="crm",field="messages",result="delivered"}`:     messages,
		`queue_events_total{consumer="bot",field="messages",result="delivered"}`:     messages,
		`queue_events_total{consumer="archive",field="comments",result="delivered"}`: comments,
		`queue_events_total{consumer="crm",field="comments",result="delivered"}`:     0,
		`queue_failed_attempts_total{consumer="crm",reason="500"}`:                   2,
		`queue_failed_attempts_total{consumer="archive",reason="500"}`:               0,
		caddy.Gauge("paused", "crm"):                                                 0,
	} {
		caddy.WaitMetric(t, metric, want)
	}
	caddy.Stop()
	if n := len(caddy.Stored(t, queue.Filter{State: queue.Delivered, Consumer: "crm"})); n != messages {
		t.Errorf("%d events are kept as delivered to one consumer, want %d", n, messages)
	}
}

// TestQueueConsumersOfAConfig changes who consumes: one is added that begins with what is
// kept, one leaves and comes back, and what the queue held for the one without a name is
// neither lost nor given to others.
func TestQueueConsumersOfAConfig(t *testing.T) {
	t.Parallel()
	app, crm, bot := harness.StartApp(t), harness.StartApp(t), harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	one := harness.QuickRetry + "reverse_proxy " + app.Addr
	toCRM, toBot := to("crm", "reverse_proxy %s", crm.Addr), to("bot", "from kept\nfields messages\nreverse_proxy %s", bot.Addr)
	caddy.ServeQueue(t, one)
	caddy.Deliver(t, harness.Messages("c.0", "c.1"), 200)
	caddy.Deliver(t, harness.Comment("1"), 200)
	app.WaitDelivered(t, 3)
	caddy.WaitQueueEmpty(t)
	app.Down()
	caddy.Deliver(t, harness.Messages("c.2"), 200)

	// One that is new without from kept has nothing of this.
	caddy.ReloadQueue(t, harness.QuickRetry+toCRM)
	caddy.WaitOutput(t, `the consumer default is no longer in the config, and 1 events wait for it: .*'caddy instagram queue drop default'`)
	caddy.CheckMetric(t, caddy.Gauge("pending_events"), 1)
	crm.Down()
	caddy.Deliver(t, harness.Messages("c.3"), 200)

	// One with it has all messages, in their order, after a restart as well.
	bot.Behave(harness.Rule{Match: "0 of <c>", Status: 500, Times: 3})
	caddy.ReloadQueue(t, harness.QuickRetry+toBot)
	caddy.WaitOutput(t, `the consumer crm is no longer in the config, and 1 events wait for it`)
	caddy.Deliver(t, harness.Messages("c.4"), 200)
	bot.WaitDelivered(t, 5)
	caddy.WaitMetric(t, caddy.Gauge("pending_events", "bot"), 0)
	caddy.Stop()
	crm.Up(t)
	caddy.ServeQueue(t, harness.QuickRetry+toBot+toCRM)
	crm.WaitDelivered(t, 1)
	app.Up(t)
	caddy.ReloadQueue(t, one)
	app.WaitDelivered(t, 4)
	for consumer := range map[string]bool{"crm": true, "bot": true, "default": true} {
		caddy.WaitMetric(t, caddy.Gauge("pending_events", consumer), 0)
	}
	harness.CheckOnce(t, bot.WaitIdle(t), 1, 5)
	for name, want := range map[*harness.App]string{crm: "/c.3", app: "/c.2"} {
		ids := taken(name.WaitIdle(t))
		if last := ids[len(ids)-1]; !strings.HasSuffix(last, want) {
			t.Errorf("the last event is %s, want one that ends in %s", last, want)
		}
	}
}

// TestQueueOfANewerVersion has a config load whose queue cannot be read.
func TestQueueOfANewerVersion(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	right := harness.QuickRetry + "reverse_proxy " + app.Addr
	caddy.ServeQueue(t, right)
	caddy.Deliver(t, harness.Messages("c.0"), 200)
	caddy.WaitQueueEmpty(t)
	caddy.Stop()
	setVersion := func(version uint32) (before uint32) {
		file, err := os.OpenFile(caddy.Queue, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		const userVersion = 60 // see "The Database Header" in SQLite's "Database File Format"
		var field [4]byte
		if _, err := file.ReadAt(field[:], userVersion); err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(binary.BigEndian.AppendUint32(nil, version), userVersion); err != nil {
			t.Fatal(err)
		}
		return binary.BigEndian.Uint32(field[:])
	}
	version := setVersion(1000)

	caddy.Start(t, caddy.QueueSite(right)+caddy.Base("other.localhost")+" {\nrespond served\n}\n")
	caddy.WaitOutput(t, `"level":"error".*refusing deliveries.*version 1000`)
	caddy.Deliver(t, harness.Messages("c.1"), 503)
	caddy.Deliver(t, harness.Messages("c.2"), 503)
	client := caddy.Client(t, harness.HTTP1)
	defer client.Close()
	other := harness.NewRequest(t, http.MethodGet, caddy.URL, nil)
	other.Host = "other.localhost"
	if answer := client.Do(t, other); answer.Status != 200 || answer.Body != "served" {
		t.Errorf("another site answers %d %q", answer.Status, answer.Body)
	}
	if n := caddy.CountLines(`"level":"error"`, "version 1000", "refusing deliveries"); n != 1 {
		t.Errorf("%d lines tell of it, want one", n)
	}
	if shown := caddy.AdminGet(t, "/instagram/queue"); !strings.Contains(shown, "version 1000") {
		t.Errorf("the admin API shows %s", shown)
	}

	// The next load tries again.
	setVersion(version)
	caddy.ReloadQueue(t, right)
	caddy.Deliver(t, harness.Messages("c.1"), 200)
	app.WaitDelivered(t, 2)
	caddy.WaitQueueEmpty(t)
	harness.CheckOnce(t, app.WaitIdle(t), 1, 2)
}

// TestQueueConsumersAreOperated pauses a consumer over a reload and a kill, and drops one
// that left the config, by the commands.
func TestQueueConsumersAreOperated(t *testing.T) {
	t.Parallel()
	crm, bot := harness.StartApp(t), harness.StartApp(t, harness.Rule{Match: "1 of <c>", Status: 503})
	caddy := harness.NewCaddy(t)
	toCRM, toBot := to("crm", "reverse_proxy %s", crm.Addr), to("bot", "reverse_proxy %s", bot.Addr)
	operate := func(works bool, args ...string) string {
		t.Helper()
		out, err := caddy.Run(append([]string{"instagram", "queue", "--address", caddy.Admin}, args...)...)
		if (err == nil) != works {
			t.Errorf("queue %q: %v\n%s", args, err, out)
		}
		return out
	}
	caddy.ServeQueue(t, harness.QuickRetry+toCRM+toBot)
	operate(true, "pause", "crm")
	for n := range 3 {
		caddy.Deliver(t, harness.Messages(fmt.Sprintf("c.%d", n)), 200)
	}
	caddy.Deliver(t, harness.Messages("d.0"), 200)
	bot.WaitDelivered(t, 2) // c.1 fails again and again, and c.2 waits for it
	caddy.CheckMetric(t, caddy.Gauge("paused", "crm"), 1)
	caddy.ReloadQueue(t, harness.QuickRetry+toCRM+toBot)
	caddy.Kill(t)
	caddy.ServeQueue(t, harness.QuickRetry+toCRM+toBot)
	caddy.CheckMetric(t, caddy.Gauge("paused", "crm"), 1)
	caddy.CheckMetric(t, caddy.Gauge("pending_events", "crm"), 4)
	caddy.WaitMetric(t, caddy.Gauge("pending_events", "bot"), 2)
	if n := len(crm.WaitIdle(t)); n != 0 {
		t.Errorf("%d attempts were made for a consumer that is paused", n)
	}
	operate(true, "resume", "crm")
	crm.WaitDelivered(t, 4)
	caddy.WaitMetric(t, caddy.Gauge("pending_events", "crm"), 0)
	if taken := harness.CheckOrder(t, crm.WaitIdle(t)); taken["c"] != 3 || taken["d"] != 1 {
		t.Errorf("it got %v", taken)
	}

	if out := operate(false, "drop", "bot"); !strings.Contains(out, "config") {
		t.Errorf("the command says %q", out)
	}
	caddy.CheckMetric(t, caddy.Gauge("pending_events", "bot"), 2)
	caddy.ReloadQueue(t, harness.QuickRetry+toCRM)
	if out := operate(true, "status"); !strings.Contains(out, "not in the config") {
		t.Errorf("the status does not say that it left:\n%s", out)
	}
	operate(true, "drop", "bot")
	if out := operate(true, "status"); strings.Contains(out, "bot") {
		t.Errorf("the status shows a consumer that was dropped:\n%s", out)
	}
	bot.Behave()
	caddy.ReloadQueue(t, harness.QuickRetry+toCRM+toBot)
	caddy.Deliver(t, harness.Messages("d.1"), 200)
	crm.WaitDelivered(t, 5)
	caddy.WaitMetric(t, caddy.Gauge("pending_events", "bot"), 0)
	for _, id := range taken(bot.WaitIdle(t)) {
		if strings.HasSuffix(id, "/c.1") || strings.HasSuffix(id, "/c.2") {
			t.Errorf("%s came although it was given up", id)
		}
	}
}
