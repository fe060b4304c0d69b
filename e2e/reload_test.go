package e2e

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// fewReloads is how often Caddy is reloaded under load at least.
const fewReloads = 10

// reloads is how often it is reloaded, unless the machine is busy. With the race detector
// each takes several times as long.
func reloads() int {
	if harness.RaceEnabled {
		return 2 * fewReloads
	}
	return 5 * fewReloads
}

// sender sends one delivery after the other. What was answered with anything but
// 200 counts as refused, and is not sent again here; what got no answer, because
// the connection broke, is sent again.
type sender struct {
	*harness.Client
	name     string
	answered atomic.Int64 // deliveries

	acknowledged []string // bodies answered with 200
	refused      []string
	variants     map[string]int // which configuration answered, how often
}

func newSender(t *testing.T, caddy *harness.Secured, name string, p harness.Protocol) *sender {
	return &sender{Client: caddy.Client(t, p), name: name, variants: make(map[string]int)}
}

// run sends until stop is closed.
func (s *sender) run(t *testing.T, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		body := string(harness.Messaging(fmt.Sprintf(`{"message":{"mid":"%s-%d"}}`, s.name, n)))
		answer, err := s.DeliverAgain(t, []byte(body))
		switch {
		case err != nil:
			t.Errorf("%s: %v", s.name, err)
			return
		case answer.Status != http.StatusOK:
			s.refused = append(s.refused, fmt.Sprintf("%d %s", answer.Status, answer.Body))
			return
		}
		s.acknowledged = append(s.acknowledged, body)
		s.variants[answer.Header.Get("X-Variant")]++
		s.answered.Add(1)
	}
}

// TestReloadUnderLoad runs `caddy reload` again and again, to and fro between two
// configurations, while several senders deliver. No delivery may be refused,
// and each that was acknowledged must be in the file and have reached the
// application.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewSecured(t)
	variant := func(name, options string) string {
		return caddy.Site(`handle /webhooks {
		header X-Variant %s
		instagram_webhook {
			verify_token x
			%s
			app_secret instagram %s
		}
		instagram_file %q {
			format raw
		}
		reverse_proxy %s
	}`, name, options, harness.Secret, caddy.Out("events.jsonl"), app.Addr)
	}
	configs := []string{
		variant("a", ""),
		variant("b", "app_secret next 99999999999999999999999999999999\nverify_token y\nmax_size 1MiB"),
	}
	caddy.Start(t, configs[0])
	caddy.WaitCertificate(t, caddy.Name)

	senders := []*sender{
		newSender(t, caddy, "keep-alive 0", harness.HTTP1),
		newSender(t, caddy, "keep-alive 1", harness.HTTP1),
		newSender(t, caddy, "one connection each 2", harness.HTTP1),
		newSender(t, caddy, "one connection each 3", harness.HTTP1),
		newSender(t, caddy, "chunked 4", harness.HTTP1Chunked),
		newSender(t, caddy, "HTTP/2 5", harness.HTTP2),
	}
	senders[2].NoReuse, senders[3].NoReuse = true, true
	var running sync.WaitGroup
	stop := make(chan struct{})
	for _, s := range senders {
		running.Go(func() { s.run(t, stop) })
	}
	end := sync.OnceFunc(func() {
		close(stop)
		running.Wait()
	})
	defer end()
	everyoneIsAnswered := func() {
		for _, s := range senders {
			before := s.answered.Load()
			harness.Wait(t, s.name+" is answered", func() bool { return s.answered.Load() > before })
		}
	}
	began := time.Now()
	done := 0
	for n := range harness.Rounds(reloads(), fewReloads) {
		everyoneIsAnswered()
		caddy.Reload(t, configs[(n+1)%2])
		done++
	}
	everyoneIsAnswered()
	took := time.Since(began)
	end()
	t.Logf("%d reloads in %s", done, took.Round(time.Millisecond))

	written := make(map[string]int)
	for _, line := range caddy.Lines(t, "events.jsonl") {
		written[line]++
	}
	checkSenders(t, senders, written, app.Received(t))
}

// checkSenders compares what was acknowledged with what arrived.
func checkSenders(t *testing.T, senders []*sender, written, received map[string]int) {
	t.Helper()
	acknowledged, broken, lost := 0, 0, 0
	variants := make(map[string]int)
	for _, sender := range senders {
		for _, refused := range sender.refused {
			t.Errorf("%s: refused with %s", sender.name, refused)
		}
		for _, body := range sender.acknowledged {
			if written[body] == 0 || received[harness.SHA256([]byte(body))] == 0 {
				lost++
			}
		}
		t.Logf("%s: %d acknowledged, %d sent again because the connection broke",
			sender.name, len(sender.acknowledged), sender.Broken)
		acknowledged += len(sender.acknowledged)
		broken += sender.Broken
		for name, n := range sender.variants {
			variants[name] += n
		}
	}
	if lost > 0 {
		t.Errorf("%d deliveries were acknowledged and lost", lost)
	}
	total := 0
	for line, n := range written {
		total += n
		if !strings.HasPrefix(line, `{"object"`) || !strings.HasSuffix(line, `}]}]}`) {
			t.Errorf("a broken line: %q", line)
		}
	}
	// What got no answer may have been written before the connection broke.
	if total > acknowledged+broken {
		t.Errorf("%d lines for %d deliveries and %d broken attempts", total, acknowledged, broken)
	}
	if names := slices.Sorted(maps.Keys(variants)); !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("answers came from the configurations %q, want a and b", names)
	}
	t.Logf("%d deliveries acknowledged %v, %d sent again, %d lost, %d lines", acknowledged, variants, broken, lost, total)
}

// TestReloadLetsDeliveriesEnd reloads while one delivery is with the
// application and another one is still being read: the handlers of the old
// configuration, cleaned up meanwhile, must bring both to their end.
func TestReloadLetsDeliveriesEnd(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t, harness.Rule{Path: "/held", Hold: true})
	caddy := harness.NewCaddy(t)
	site := caddy.Site("%s\ninstagram_file %q {\nformat raw\n}\nreverse_proxy %s",
		harness.Webhook, caddy.Out("events.jsonl"), app.Addr)
	caddy.Start(t, site)

	held := make(chan string, 1)
	req := harness.NewDelivery(t, harness.HTTP1, caddy.Base("127.0.0.1")+"/held", harness.Secret, []byte(`{"n":1}`))
	go func() {
		answer, err := caddy.Client(t, harness.HTTP1).Try(req)
		held <- fmt.Sprint(answer != nil && answer.Status == http.StatusOK, err)
	}()
	app.WaitHeld(t, 1)

	// The 100 that this one gets tells that the handler reads its body.
	body := `{"n":2,"long":"` + strings.Repeat("x", 100_000) + `"}`
	conn, err := net.Dial("tcp", caddy.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(harness.Timeout)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /read HTTP/1.1\r\nHost: hooks.example.com\r\nExpect: 100-continue\r\n"+
		"Content-Length: %d\r\nX-Hub-Signature-256: sha256=%s\r\n\r\n",
		len(body), harness.HMAC(harness.Secret, []byte(body)))
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("got %q, %v instead of 100", line, err)
	}
	fmt.Fprint(conn, body[:len(body)/2])

	for range 2 {
		caddy.Reload(t, site)
	}
	fmt.Fprint(conn, body[len(body)/2:])
	if _, err := reader.ReadString('\n'); err != nil { // ends the head of the 100
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(reader, nil)
	for err == nil && resp.StatusCode == http.StatusContinue { // the application's
		resp, err = http.ReadResponse(reader, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the delivery that was being read was answered with %s", resp.Status)
	}
	if attempts := app.WaitAttempts(t, 1); len(attempts) != 1 || string(attempts[0].Body) != body {
		t.Error("the delivery that was being read did not reach the application, or not alone")
	}
	app.Behave()
	if got := <-held; got != "true <nil>" {
		t.Errorf("the delivery that the application held was not answered with 200: %s", got)
	}
	if lines := caddy.Lines(t, "events.jsonl"); len(lines) != 2 {
		t.Errorf("%d lines, want 2", len(lines))
	}
}
