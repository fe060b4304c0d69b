package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// application is an application behind a queue, in another process.
type application struct {
	*process
	addr   string
	orders string // URL that takes orders
	known  []attempt
}

func startApplication(t *testing.T) *application {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a := &application{addr: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	cmd := exec.Command(self)
	cmd.Env = environment(roleVariable+"=application", addressVariable+"="+a.addr)
	stdin, err := cmd.StdinPipe() // held open as long as the tests live
	if err != nil {
		t.Fatal(err)
	}
	a.process = runProcess(t, "application", cmd)
	t.Cleanup(func() { _ = stdin.Close() })
	a.orders = "http://" + a.mustAwait(t, `taking orders on (\S+)\n`)[1]
	return a
}

// order gives an order and returns the answer.
func (a *application) order(t *testing.T, order string, argument any) []byte {
	t.Helper()
	body, err := json.Marshal(argument)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: patience}
	resp, err := client.Post(a.orders+order, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", order, resp.Status, answer, err)
	}
	return answer
}

// behave has the application follow these rules instead of those before. Without
// any it answers 200 to all.
func (a *application) behave(t *testing.T, rules ...rule) {
	t.Helper()
	a.order(t, "/rules", append([]rule{}, rules...))
}

// down closes the port, and up opens it again.
func (a *application) down(t *testing.T) { t.Helper(); a.order(t, "/down", nil) }
func (a *application) up(t *testing.T)   { t.Helper(); a.order(t, "/up", nil) }

// awaitHeld returns when the application holds n requests.
func (a *application) awaitHeld(t *testing.T, n int) {
	t.Helper()
	a.order(t, fmt.Sprintf("/holding?n=%d", n), nil)
}

// await returns all attempts that have ended, in the order of their ends, once
// these are at least n.
func (a *application) await(t *testing.T, n int) []attempt {
	t.Helper()
	for len(a.known) < n {
		var more []attempt
		if err := json.Unmarshal(a.order(t, fmt.Sprintf("/ended?n=%d", len(a.known)), nil), &more); err != nil {
			t.Fatal(err)
		}
		a.known = append(a.known, more...)
	}
	return a.known
}

// idle waits until no attempt is under way, and returns all.
func (a *application) idle(t *testing.T) []attempt {
	t.Helper()
	n, err := strconv.Atoi(string(a.order(t, "/idle", nil)))
	if err != nil {
		t.Fatal(err)
	}
	return a.await(t, n)
}

// awaitDelivered waits until the application has taken n different events, and
// returns all attempts.
func (a *application) awaitDelivered(t *testing.T, n int) []attempt {
	t.Helper()
	taken := make(map[string]bool)
	for i := 0; len(taken) < n; i++ {
		if one := a.await(t, i+1)[i]; one.delivered() {
			taken[one.id()] = true
		}
	}
	return a.known
}

// queueGateway is a gateway with a queue, at an address that stays the same when
// it is started again.
type queueGateway struct {
	*gateway
	port int
	addr string
	url  string
	file string // of the queue

	options string // global ones
}

func newQueueGateway(t *testing.T) *queueGateway {
	t.Helper()
	g := &queueGateway{gateway: newGateway(t), port: freePort(t), options: "metrics\nauto_https off"}
	g.addr = fmt.Sprintf("127.0.0.1:%d", g.port)
	g.url = "http://" + g.addr + "/webhooks"
	g.file = g.out("queue.db")
	return g
}

// quick are settings with which tests need not wait long.
const quick = `retry {
		first 10ms
		max 50ms
	}
	min_free_space 0B
	`

// patientQueue is the setting with which no attempt ends before the application
// answers, however slow the machine is.
const patientQueue = "timeout 10m\n"

// site is a site with a queue: its options and what takes the events.
func (g *queueGateway) site(queue string) string {
	return fmt.Sprintf("http://:%d {\n%s\ninstagram_queue {\nstore bolt %q\n%s\n}\n}", g.port, webhook, g.file, queue)
}

// serve starts the gateway, with metrics.
func (g *queueGateway) serve(t *testing.T, queue string) {
	t.Helper()
	g.start(t, g.options, g.site(queue))
}

// change reloads the gateway with another queue.
func (g *queueGateway) change(t *testing.T, queue string) {
	t.Helper()
	g.reload(t, g.write(t, "next", g.caddyfile(g.options, g.site(queue))))
}

// send sends a delivery, and fails the test if it is not answered with a status.
func (g *queueGateway) send(t *testing.T, body []byte, want int) *answer {
	t.Helper()
	c := newCaller(nil, g.addr, nil)
	defer c.close()
	a := c.mustDo(t, delivery(t, http1, g.url, secret, body))
	if a.status != want {
		t.Errorf("a delivery is answered with %d, want %d", a.status, want)
	}
	return a
}

// metric returns the value of a metric with labels, as it is written; 0 if there
// is none.
func (g *gateway) metric(t *testing.T, name string) float64 {
	t.Helper()
	for line := range strings.Lines(g.adminGet(t, "/metrics")) {
		if value, ok := strings.CutPrefix(line, "caddy_instagram_"+name+" "); ok {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
	}
	return 0
}

// gauge is the name of a gauge of the queue.
func (g *queueGateway) gauge(name string) string {
	return fmt.Sprintf("queue_%s{store=%q}", name, g.file)
}

// awaitMetric returns when a metric has a value.
func (g *gateway) awaitMetric(t *testing.T, name string, want float64) {
	t.Helper()
	g.awaitMetricThat(t, name, func(got float64) bool { return got == want })
}

// awaitMetricThat returns when a metric is as it should be. What is settled is
// not told by anything else.
func (g *gateway) awaitMetricThat(t *testing.T, name string, fits func(float64) bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for got := g.metric(t, name); !fits(got); got = g.metric(t, name) {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s is %v after %s", name, got, patience)
		}
	}
}

// talk is a message in a conversation of its own with the account.
func talk(conversation string, n int) string {
	return fmt.Sprintf(`{"sender":{"id":"%s"},"recipient":{"id":"17841400000000001"},"timestamp":%d,"message":{"mid":"%s.%d","text":"message %[4]d of <%[1]s>"}}`,
		conversation, 1790000000000+n, conversation, n)
}

// talks is a delivery of messages.
func talks(messages ...string) []byte {
	return []byte(`{"object":"instagram","entry":[{"id":"17841400000000001","time":1790000000000,"messaging":[` + strings.Join(messages, ",") + `]}]}`)
}

// talkOf returns the conversation and the number of a message.
func talkOf(t *testing.T, body []byte) (conversation string, n int) {
	t.Helper()
	var d struct {
		Entry []struct {
			Messaging []struct{ Message struct{ Mid string } }
		}
	}
	if err := json.Unmarshal(body, &d); err != nil || len(d.Entry) != 1 || len(d.Entry[0].Messaging) != 1 {
		t.Fatalf("%q is no delivery of one message: %v", body, err)
	}
	conversation, number, _ := strings.Cut(d.Entry[0].Messaging[0].Message.Mid, ".")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	return conversation, n
}

// inOrder fails the test unless the application has taken each message once, and
// those of each conversation in order, from 0 on. It returns how many it has
// taken of each.
func inOrder(t *testing.T, attempts []attempt) map[string]int {
	t.Helper()
	next := make(map[string]int)
	for i := range attempts {
		if !attempts[i].delivered() {
			continue
		}
		conversation, n := talkOf(t, attempts[i].Body)
		if n != next[conversation] {
			t.Errorf("message %d of %s came when %d was due", n, conversation, next[conversation])
		}
		next[conversation] = n + 1
	}
	return next
}

// checkOnce does that for so many conversations, of so many messages each.
func checkOnce(t *testing.T, attempts []attempt, conversations, each int) {
	t.Helper()
	taken := inOrder(t, attempts)
	if len(taken) != conversations {
		t.Errorf("messages of %d conversations came, want %d", len(taken), conversations)
	}
	for conversation, n := range taken {
		if n != each {
			t.Errorf("%d messages of %s came, want %d", n, conversation, each)
		}
	}
}

// entriesBelow returns what is in a directory and below.
func entriesBelow(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir {
			paths = append(paths, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
