package command

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

func TestSimulate(t *testing.T) {
	t.Parallel()
	p := newReceiver(t)
	code, out, errs := simulateIn(t, "", "--to", p.URL, "--app-secret-file", secretFile(t), "--verify-token-file", tokenFile(t))
	if code != 0 || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"verification  ok\n", "deliveries    2\n", "accepted      2 of 2, 2 events\n", "answers       200 × 2\n", "ledger        2 events\n", "latency       p50 "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if b := p.received(); len(b) != 2 || !strings.Contains(b[0], `"field": "comments"`) || !strings.Contains(b[1], `"messaging":[`) {
		t.Errorf("received %q", b)
	}
	if ev := event.Split([]byte(p.received()[0]))[0]; time.Since(ev.Sent) < -time.Second || time.Since(ev.Sent) > time.Hour {
		t.Errorf("sent at %s", ev.Sent)
	}
}

func TestSimulateJSON(t *testing.T) {
	t.Parallel()
	p := newReceiver(t)
	p.path = filepath.Join(t.TempDir(), "events.jsonl")
	code, out, errs := simulateIn(t, "", "--to", p.URL, "--app-secret-file", secretFile(t), "--json",
		"--count", "200", "--batch", "2", "--duplicates", "10%", "--bad-signatures", "0.1", "--out-of-order", "--concurrency", "3",
		"--verify", p.path)
	var got struct {
		OK           bool
		Verification string
		Deliveries, Duplicates, Forged, Accepted,
		Failed, Ledger int
		Answers  map[string]int
		Latency  struct{ P50, Max float64 }
		Verified struct{ Acknowledged, Found int }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if code != 0 || errs != "" || !got.OK || got.Verification != "skipped" || got.Failed != 0 || got.Deliveries != 200+got.Duplicates ||
		got.Answers["200"] != got.Accepted || got.Answers["401"] != got.Forged || got.Duplicates == 0 || got.Forged == 0 ||
		got.Ledger != 2*(200-got.Forged) || got.Verified.Found != got.Ledger || got.Latency.Max <= 0 {
		t.Errorf("exit code %d, %+v: %s", code, got, errs)
	}
}

// TestSimulateUnexpected has receivers that do not do what they should.
func TestSimulateUnexpected(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*receiver)
		args   []string
		want   string
	}{
		"verification": {func(p *receiver) { p.verify = false }, nil, "verification: the callback URL was not verified: the status is 403, not 200"},
		"secret":       {func(p *receiver) { p.secret = "another" }, nil, "2 of 2 authentic deliveries were not accepted"},
		"one refused":  {func(p *receiver) { p.accepts = func(n int) bool { return n != 2 } }, nil, "1 of 2 authentic deliveries were not accepted"},
		"forged": {func(p *receiver) {
			p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, r.URL.Query().Get("hub.challenge"))
			})
		}, []string{"--bad-signatures", "100%"}, "2 of 2 forged deliveries were accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newReceiver(t)
			tc.change(p)
			args := append([]string{"--to", p.URL, "--app-secret-file", secretFile(t), "--verify-token-file", tokenFile(t), "--json"}, tc.args...)
			code, out, errs := simulateIn(t, "", args...)
			if code != 1 || errs != "Error: "+tc.want+"\n" || !strings.Contains(out, "\n  \"ok\": false,\n") {
				t.Errorf("exit code %d, %s%s", code, out, errs)
			}
			if name == "verification" && len(p.received()) != 0 {
				t.Error("deliveries were sent all the same")
			}
		})
	}
}

func TestSimulateSeed(t *testing.T) {
	t.Parallel()
	sent := func(args ...string) []string {
		p := newReceiver(t)
		args = append([]string{"--to", p.URL, "--app-secret-file", secretFile(t), "--count", "40", "--duplicates", "20%", "--out-of-order"}, args...)
		if code, out, errs := simulateIn(t, "", args...); code != 0 {
			t.Errorf("exit code %d, %s%s", code, out, errs)
		}
		return p.received()
	}
	if first := sent("--seed", "3"); !slices.Equal(first, sent("--seed", "3")) || slices.Equal(first, sent("--seed", "4")) || len(first) <= 40 {
		t.Error("the seed does not make the run")
	}
	if slices.Equal(sent(), sent()) {
		t.Error("two runs without a seed are the same")
	}
}

func TestSimulateTestButton(t *testing.T) {
	t.Parallel()
	p := newReceiver(t)
	if code, out, errs := simulateIn(t, "", "--to", p.URL, "--app-secret-file", secretFile(t), "--test-button", "--field", "messages,story_insights"); code != 0 {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	var fields []string
	for _, body := range p.received() {
		for _, ev := range event.Split([]byte(body)) {
			if !ev.Test {
				t.Errorf("no test: %s", body)
			}
			fields = append(fields, ev.Field)
		}
	}
	if !slices.Equal(fields, []string{"messages", "story_insights"}) {
		t.Errorf("fields %v", fields)
	}
}

func TestSimulateLedger(t *testing.T) {
	t.Parallel()
	p := newReceiver(t)
	ledger := filepath.Join(t.TempDir(), "acknowledged.txt")
	p.path = filepath.Join(t.TempDir(), "events.jsonl")
	args := []string{"--to", p.URL, "--app-secret-file", secretFile(t), "--count", "20", "--ledger", ledger, "--verify", p.path}
	for _, events := range []string{"20", "40"} { // the ledger is added to
		if code, out, errs := simulateIn(t, "", args...); code != 0 || !strings.Contains(out, "verified      "+events+" of "+events+" events found, 0 missing\n") {
			t.Errorf("exit code %d, %s%s", code, out, errs)
		}
	}
	content, err := os.ReadFile(ledger)
	ids := strings.Fields(string(content))
	if err != nil || len(ids) != 40 {
		t.Fatalf("%d identities in the ledger, %v", len(ids), err)
	}

	lines := strings.SplitAfter(p.log.String(), "\n")
	rest := writeFile(t, "rest.jsonl", strings.Join(lines[12:], ""))
	code, out, errs := simulateIn(t, "", "--ledger", ledger, "--verify", rest)
	if code != 1 || errs != "Error: 12 of 40 acknowledged events are missing\n" || !strings.Contains(out, "28 of 40 events found, 12 missing\n") ||
		strings.Count(out, `missing       "instagram/`) != 10 || !strings.Contains(out, "missing       and 2 more, which --json lists\n") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	begin := writeFile(t, "begin.jsonl", strings.Join(lines[:12], ""))
	code, out, errs = simulateIn(t, "", "--ledger", ledger, "--verify", rest, "--verify", begin, "--json")
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(out)); err != nil {
		t.Fatal(err)
	}
	if code != 0 || errs != "" || compact.String() != `{"ok":true,"ledger":40,"verified":{"acknowledged":40,"found":40,"others":0,"repeated":0,"malformed":0}}` {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

func TestSimulateRetry(t *testing.T) {
	t.Parallel()
	p := newReceiver(t)
	p.accepts = func(n int) bool { return n > 3 }
	base := []string{"--to", p.URL, "--app-secret-file", secretFile(t), "--retry"}
	// Even on a busy machine, Meta's 36 hours are long enough for three retries.
	if code, out, errs := simulateIn(t, "", append(base, "--speedup", "10000", "--field", "comments")...); code != 0 || !strings.Contains(out, "requests      4 (3 retries)") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	p.accepts = func(int) bool { return false }
	code, out, errs := simulateIn(t, "", append(base, "--speedup", "1000000", "--field", "messages")...)
	if code != 1 || !strings.Contains(out, "deliveries    1 (1 withheld)\n") || !strings.Contains(out, "accounts      1 alerts, 1 unsubscribed\n") ||
		!regexp.MustCompile(`(?m)^messages of account "178\d+" have failed for .+: Meta would alert you\n.+: Meta would unsubscribe it\nError: 1 of 1 `).MatchString(errs) {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

func TestSimulateIsInterrupted(t *testing.T) {
	t.Parallel()
	p := newReceiver(t)
	ctx, cancel := context.WithCancel(t.Context())
	p.accepts = func(n int) bool {
		if n == 5 {
			cancel()
		}
		return true
	}
	code, out, errs := simulateUntil(t, ctx, "", "--to", p.URL, "--app-secret-file", secretFile(t), "--count", "1000000", "--json")
	if code != 2 || !strings.Contains(errs, "the run was cut short: context canceled") || !strings.Contains(out, "\n  \"ok\": false,\n") || len(p.received()) > 6 {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

func TestBar(t *testing.T) {
	t.Parallel()
	answers := map[string]int{"401": 1, "200": 14}
	for _, tc := range []struct {
		summary simulate.Summary
		total   int
		want    string
	}{
		{simulate.Summary{Answers: answers, Accepted: 13, Forged: 1, Failed: 1}, 30, "[===============               ] 15/30  200 × 14, 401 × 1"},
		{simulate.Summary{Answers: answers, Accepted: 30, Duplicates: 10}, 20, "[==============================] 30/30  200 × 14, 401 × 1"},
		{simulate.Summary{}, 20, "[                              ] 0/20  none"},
		{simulate.Summary{Accepted: 7}, -1, "7 deliveries  none"},
	} {
		if got := bar(&tc.summary, tc.total); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

// TestTheProgressBarIsTakenAway however soon the run ends.
func TestTheProgressBarIsTakenAway(t *testing.T) {
	t.Parallel()
	for range 100 {
		var terminal bytes.Buffer
		display := &progressDisplay{c: &console{err: &terminal}, bar: true}
		display.show(func() *simulate.Summary { return new(simulate.Summary) }, 1)()
		if !strings.HasSuffix(terminal.String(), "\r\x1b[K") {
			t.Fatalf("the terminal shows %q", &terminal)
		}
	}
}

// TestSimulateHelp looks for every flag that the help text mentions.
func TestSimulateHelp(t *testing.T) {
	t.Parallel()
	cmd := simulateCommand()
	mentioned := regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(cmd.Long+cmd.Example, -1)
	if len(mentioned) < 20 {
		t.Errorf("only %d flags are mentioned", len(mentioned))
	}
	for _, flag := range mentioned {
		if cmd.Flag(flag[1]) == nil {
			t.Errorf("there is no --%s", flag[1])
		}
	}
	code, out, _ := simulateIn(t, "", "--help")
	if code != 0 || !strings.Contains(out, "Exit codes:\n  0  every authentic") || !strings.Contains(out, "--bad-signatures share") {
		t.Errorf("exit code %d, %s", code, out)
	}
}
