package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// reloads is how often the gateway is reloaded under load, and fewReloads how
// often at least.
const (
	reloads    = 50
	fewReloads = 10
)

// sender sends one delivery after the other, as Meta does: what was answered
// with anything but 200 counts as refused, and is not sent again here; what got
// no answer, because the connection broke, is sent again. That happens at a
// reload: a server that is shut down closes the connection of a request that it
// reads too late, without handling it (see conn.serve in net/http).
type sender struct {
	name      string
	caller    *caller
	protocol  protocol
	everyTime bool          // a new connection for each delivery
	answered  chan struct{} // receives when somebody waits for an answer

	acknowledged []string // bodies answered with 200
	broken       int      // attempts that got no answer
	refused      []string
	variants     map[string]int // which configuration answered, how often
}

// run sends until stop is closed.
func (s *sender) run(t *testing.T, url string, stop <-chan struct{}) {
	defer s.caller.close()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		body := fmt.Sprintf(`{"object":"instagram","entry":[{"time":%d,"id":"17841400000000001","messaging":[{"message":{"mid":"%s-%d"}}]}]}`,
			1790000000000+n, s.name, n)
		if !s.deliver(t, url, body) {
			return
		}
		select {
		case s.answered <- struct{}{}:
		default:
		}
	}
}

// deliver sends one delivery until it is answered.
func (s *sender) deliver(t *testing.T, url, body string) bool {
	const attempts = 30
	for range attempts {
		req := delivery(t, s.protocol, url, secret, []byte(body))
		req.Close = s.everyTime
		a, err := s.caller.do(req)
		switch {
		case a == nil:
			s.broken++
			continue
		case a.status != http.StatusOK:
			s.refused = append(s.refused, fmt.Sprintf("%d %s", a.status, a.body))
			return false
		case err != nil:
			t.Errorf("%s: an answer of 200 broke off: %v", s.name, err)
		}
		s.acknowledged = append(s.acknowledged, body)
		s.variants[a.header.Get("X-Variant")]++
		return true
	}
	t.Errorf("%s: %d attempts without an answer", s.name, attempts)
	return false
}

// TestReloadUnderLoad runs `caddy reload` again and again, to and fro between two
// configurations, while several senders deliver. No delivery may be refused,
// and each that was acknowledged must be in the file and have reached the
// application.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	u := startUpstream(t)
	s := newSecured(t)
	variant := func(name, options string) string {
		return s.site(fmt.Sprintf(`handle /webhooks {
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
	}`, name, options, secret, s.out("events.jsonl"), u.addr))
	}
	a := variant("a", "")
	b := variant("b", "app_secret next 99999999999999999999999999999999\nverify_token y\nmax_size 1MiB")
	configs := []string{s.write(t, "a", s.caddyfile(s.options, a)), s.write(t, "b", s.caddyfile(s.options, b))}
	s.start(t, s.options, a)
	s.handshake(t, s.name)

	var senders []*sender
	for i, kind := range []sender{
		{name: "keep-alive", protocol: http1},
		{name: "keep-alive", protocol: http1},
		{name: "one connection each", protocol: http1, everyTime: true},
		{name: "one connection each", protocol: http1, everyTime: true},
		{name: "chunked", protocol: http1Chunked},
		{name: "HTTP/2", protocol: http2},
	} {
		kind.name = fmt.Sprintf("%s %d", kind.name, i)
		kind.caller = newCallerFor(kind.protocol, s.roots, s.addr, nil)
		kind.answered = make(chan struct{})
		kind.variants = make(map[string]int)
		senders = append(senders, &kind)
	}
	var running sync.WaitGroup
	stop := make(chan struct{})
	for _, sender := range senders {
		running.Go(func() { sender.run(t, "https://"+s.name+"/webhooks", stop) })
	}
	everyoneAnswered := func() bool {
		for _, sender := range senders {
			select {
			case <-sender.answered:
			case <-time.After(patience):
				t.Errorf("%s gets no more answers", sender.name)
				return false
			}
		}
		return true
	}
	began := time.Now()
	done := 0
	for range rounds(reloads, fewReloads) {
		if !everyoneAnswered() {
			break
		}
		s.reload(t, configs[(done+1)%2])
		done++
	}
	everyoneAnswered()
	took := time.Since(began)
	close(stop)
	running.Wait()
	t.Logf("%d reloads in %s", done, took.Round(time.Millisecond))

	written := make(map[string]int)
	for _, line := range s.lines(t, "events.jsonl") {
		written[line]++
	}
	checkSenders(t, senders, written, u.ledger(t))
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
			if written[body] == 0 || received[hexSHA256([]byte(body))] == 0 {
				lost++
			}
		}
		t.Logf("%s: %d acknowledged, %d sent again because the connection broke", sender.name, len(sender.acknowledged), sender.broken)
		acknowledged += len(sender.acknowledged)
		broken += sender.broken
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
