package e2e

import (
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// queueAccount knows what was acknowledged. Each sender has a conversation of its own, and
// sends what was not acknowledged again, as Meta does.
type queueAccount struct {
	*harness.Ledger                   // of mids
	sent            [crashSenders]int // messages of each conversation that are acknowledged, from 0 on

	crashes int

	// mayRepeat says that a message may also come again when the disk failed as it was settled:
	// whether that is stored is known only later then.
	mayRepeat bool
}

// consumerAccount knows what a consumer may get when: no message may be missing, and none
// may come twice, but for those under way at a crash.
type consumerAccount struct {
	*queueAccount
	name string
	app  *harness.App

	seen    int            // attempts that were looked at
	taken   map[string]int // messages of each conversation that were taken, from 0 on
	since   map[string]int // crashes before the last of these was taken
	settled map[string]int // messages that are known to be settled, from 0 on
	open    int            // messages that were taken and not settled at a crash

	repeated int // messages that were taken again
}

// consumer starts the application of a consumer.
func (l *queueAccount) consumer(t *testing.T, name string) *consumerAccount {
	t.Helper()
	return &consumerAccount{
		queueAccount: l,
		name:         name,
		app:          harness.StartApp(t),
		taken:        make(map[string]int),
		since:        make(map[string]int),
		settled:      make(map[string]int),
	}
}

// startLoad has each sender deliver, and returns when so many deliveries were
// acknowledged.
func (l *queueAccount) startLoad(t *testing.T, url string, deliveries int) *harness.Load {
	t.Helper()
	l.Reopen()
	enough := l.After(deliveries)
	load := harness.StartLoad(t, url, crashSenders, l.Ledger, func(sender int) (mids []string, body []byte) {
		conversation := strconv.Itoa(sender)
		first := l.acknowledged(conversation)
		// The last message comes again in the next delivery.
		for n := max(0, first-1); n <= first+first%3; n++ {
			mids = append(mids, mid(conversation, n))
		}
		return mids, harness.Messages(mids...)
	})
	harness.WaitClosed(t, "enough deliveries are acknowledged", enough)
	return load
}

func mid(conversation string, n int) string { return conversation + "." + strconv.Itoa(n) }

// acknowledged returns how many messages of a conversation are acknowledged, from
// 0 on. Only the sender of the conversation may ask while there is load.
func (l *queueAccount) acknowledged(conversation string) int {
	sender, _ := strconv.Atoi(conversation)
	for l.Has(mid(conversation, l.sent[sender])) {
		l.sent[sender]++
	}
	return l.sent[sender]
}

// checkAttempts looks at the attempts that were made since the last call. Each is for
// the message after those of its conversation that were taken, or for the last of
// these, if a crash came after that.
func (l *consumerAccount) checkAttempts(t *testing.T) {
	t.Helper()
	attempts := l.app.WaitIdle(t)
	for i := range attempts[l.seen:] {
		a := &attempts[l.seen+i]
		conversation, n := a.Message(t)
		next := l.taken[conversation]
		switch name := a.Header.Get("X-Instagram-Consumer"); {
		case name != l.name:
			t.Errorf("%s: an attempt says that it is for %q", l.name, name)
		case n < l.settled[conversation]:
			t.Errorf("%s: message %d of %s was settled and came again", l.name, n, conversation)
		case n != next && (n != next-1 || l.since[conversation] == l.crashes && !l.mayRepeat):
			t.Errorf("%s: message %d of %s came when %d was due", l.name, n, conversation, next)
		}
		if !a.Delivered() {
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
		// A sender that was cut off knows less than Caddy has.
		if n > l.acknowledged(conversation)+3 {
			t.Errorf("%s: %d messages of %s came, at most %d were sent", l.name, n, conversation, l.acknowledged(conversation)+3)
		}
	}
}

// checkStored compares what was acknowledged, and what was delivered until a crash,
// with what is in the file after it.
func (l *consumerAccount) checkStored(t *testing.T, events []queue.Event) {
	t.Helper()
	stored := make(map[string]int)
	all, pending, open := 0, 0, 0
	for _, e := range events { // the newest first
		if e.Consumer != l.name {
			continue
		}
		all++
		conversation, number, _ := strings.Cut(e.Identity[strings.LastIndexByte(e.Identity, '/')+1:], ".")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("%s was not sent", e.Identity)
		}
		stored[conversation]++
		taken := n < l.taken[conversation]
		switch {
		case e.State == queue.Dead:
			t.Errorf("%s: %s is dead: %s", l.name, e.Identity, e.LastError)
		case e.State == queue.Delivered && !taken:
			t.Errorf("%s: %s is delivered, but the application has not taken it", l.name, e.Identity)
		case e.State == queue.Delivered:
			l.settled[conversation] = max(l.settled[conversation], n+1)
		case taken && n != l.taken[conversation]-1:
			t.Errorf("%s: %s is to come again, after later ones", l.name, e.Identity)
		case taken && l.since[conversation] == l.crashes:
			open++
		}
		if e.State == queue.Pending {
			pending++
		}
	}
	for sender := range crashSenders {
		conversation := strconv.Itoa(sender)
		if n := l.acknowledged(conversation); stored[conversation] < n {
			t.Errorf("%s: %d of %d acknowledged messages of %s are lost", l.name, n-stored[conversation], n, conversation)
		}
	}
	if open > maxRepeated {
		t.Errorf("%s: %d messages are taken and not settled, want at most %d", l.name, open, maxRepeated)
	}
	acknowledged, _ := l.Count()
	t.Logf("crash %d: %d messages acknowledged, %d stored for %s, of these %d pending; %d are taken and not settled",
		l.crashes, acknowledged, all, l.name, pending, open)
	l.open += open
}

// checkEnd fails the test unless everything has come, and nothing again but what
// was not settled at a crash.
func (l *consumerAccount) checkEnd(t *testing.T) {
	t.Helper()
	if l.repeated != l.open && !l.mayRepeat {
		t.Errorf("%s: %d messages came again, want the %d that were not settled at a crash", l.name, l.repeated, l.open)
	}
	for sender := range crashSenders {
		conversation := strconv.Itoa(sender)
		if n := l.acknowledged(conversation); l.taken[conversation] < n {
			t.Errorf("%s: %d messages of %s came, %d are acknowledged", l.name, l.taken[conversation], conversation, n)
		}
	}
	acknowledged, refused := l.Count()
	t.Logf("%d rounds: %d messages acknowledged, %d deliveries refused with 503; %d attempts for %s, %d messages came again after a crash",
		l.crashes, acknowledged, refused, l.seen, l.name, l.repeated)
}
