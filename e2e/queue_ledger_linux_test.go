package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/queue"
)

// queueLedger knows what was acknowledged, and what the application may get when.
// Each sender has a conversation of its own, and sends what was not acknowledged
// again, as Meta does: so no message may be missing, and none may come twice,
// but for those under way at a crash.
type queueLedger struct {
	tally                       // of what follows
	acknowledged map[string]int // messages of each conversation, from 0 on
	refused      int

	crashes  int
	seen     int            // attempts that were looked at
	taken    map[string]int // messages of each conversation that were taken, from 0 on
	since    map[string]int // crashes before the last of these was taken
	settled  map[string]int // messages that are known to be settled, from 0 on
	open     int            // messages that were taken and not settled at a crash
	repeated int            // messages that were taken again
}

func newQueueLedger() *queueLedger {
	l := &queueLedger{
		acknowledged: make(map[string]int),
		taken:        make(map[string]int),
		since:        make(map[string]int),
		settled:      make(map[string]int),
	}
	for s := range crashSenders {
		l.acknowledged[strconv.Itoa(s)] = 0
	}
	return l
}

func (l *queueLedger) total() (n int) {
	for _, messages := range l.acknowledged {
		n += messages
	}
	return n
}

// queueStorm is what many senders send, until the gateway answers no more.
type queueStorm struct {
	senders sync.WaitGroup
	stop    chan struct{}
}

func (s *queueStorm) wait() {
	close(s.stop)
	s.senders.Wait()
}

// storm begins one, and returns when so many deliveries were acknowledged.
func (l *queueLedger) storm(t *testing.T, url string, acknowledged int) *queueStorm {
	t.Helper()
	l.reopen()
	s := &queueStorm{stop: make(chan struct{})}
	reached := make(chan struct{})
	for sender := range crashSenders {
		s.senders.Go(func() {
			client := &http.Client{Transport: new(http.Transport), Timeout: patience}
			defer client.CloseIdleConnections()
			conversation := strconv.Itoa(sender)
			for {
				select {
				case <-s.stop:
					return
				default:
				}
				l.mu.Lock()
				first := l.acknowledged[conversation]
				l.mu.Unlock()
				// The last message comes again in the next delivery.
				var messages []string
				for n := max(0, first-1); n <= first+first%3; n++ {
					messages = append(messages, talk(conversation, n))
				}
				resp, err := client.Do(delivery(t, http1, url, secret, talks(messages...)))
				if err != nil {
					return // the gateway was killed
				}
				resp.Body.Close()
				switch resp.StatusCode {
				case http.StatusOK:
					l.add(func() {
						l.acknowledged[conversation] = first + first%3 + 1
						if acknowledged--; acknowledged == 0 {
							close(reached)
						}
					})
				case http.StatusServiceUnavailable:
					l.add(func() { l.refused++ })
				default:
					t.Errorf("an authentic delivery was answered with %s", resp.Status)
				}
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(patience):
		t.Fatal("too few deliveries are acknowledged")
	}
	return s
}

// check looks at the attempts that were made since the last call. Each is for
// the message after those of its conversation that were taken, or for the last of
// these, if a crash came after that.
func (l *queueLedger) check(t *testing.T, attempts []attempt) {
	t.Helper()
	for i := range attempts[l.seen:] {
		a := &attempts[l.seen+i]
		conversation, n := talkOf(t, a.Body)
		next := l.taken[conversation]
		switch {
		case n < l.settled[conversation]:
			t.Errorf("message %d of %s was settled and came again", n, conversation)
		case n != next && (n != next-1 || l.since[conversation] == l.crashes):
			t.Errorf("message %d of %s came when %d was due", n, conversation, next)
		}
		if !a.delivered() {
			continue
		}
		if n == next-1 {
			l.repeated++
		}
		l.taken[conversation] = n + 1
		l.since[conversation] = l.crashes
	}
	l.seen = len(attempts)
	for conversation, n := range l.taken {
		// A sender that was cut off knows less than the gateway has.
		if n > l.acknowledged[conversation]+3 {
			t.Errorf("%d messages of %s came, at most %d were sent", n, conversation, l.acknowledged[conversation]+3)
		}
	}
}

// crashed compares what was acknowledged, and what was delivered until a crash,
// with what is in the file after it.
func (l *queueLedger) crashed(t *testing.T, events []queue.Event) {
	t.Helper()
	stored := make(map[string]int)
	pending, open := 0, 0
	for _, e := range events { // the newest first
		conversation, number, _ := strings.Cut(e.Identity[strings.LastIndexByte(e.Identity, '/')+1:], ".")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("%s was not sent", e.Identity)
		}
		stored[conversation]++
		taken := n < l.taken[conversation]
		switch {
		case e.State == queue.Dead:
			t.Errorf("%s is dead: %s", e.Identity, e.LastError)
		case e.State == queue.Delivered && !taken:
			t.Errorf("%s is delivered, but the application has not taken it", e.Identity)
		case e.State == queue.Delivered:
			l.settled[conversation] = max(l.settled[conversation], n+1)
		case taken && n != l.taken[conversation]-1:
			t.Errorf("%s is to come again, after later ones", e.Identity)
		case taken && l.since[conversation] == l.crashes:
			open++
		}
		if e.State == queue.Pending {
			pending++
		}
	}
	for conversation, n := range l.acknowledged {
		if stored[conversation] < n {
			t.Errorf("%d of %d acknowledged messages of %s are lost", n-stored[conversation], n, conversation)
		}
	}
	if open > maxRepeated {
		t.Errorf("%d messages are taken and not settled, want at most %d", open, maxRepeated)
	}
	t.Logf("crash %d: %d messages acknowledged, %d stored, of these %d pending; %d are taken and not settled",
		l.crashes, l.total(), len(events), pending, open)
	l.open += open
	l.crashes++
}
