package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// inbox is a receiver that keeps what it gets.
type inbox struct {
	*Receiver
	mu      sync.Mutex
	notices []Notice
}

func newInbox(only ...Kind) *inbox {
	in := new(inbox)
	in.Receiver = &Receiver{Name: "inbox", Key: "inbox", Only: only, Logger: zap.NewNop(), Send: func(_ context.Context, n *Notice) error {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.notices = append(in.notices, *n)
		return nil
	}}
	return in
}

// told returns what came since the last call, as kinds and causes.
func (in *inbox) told() (all []string) {
	synctest.Wait()
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, n := range in.notices {
		text := fmt.Sprint(n.Kind, " ", n.Cause)
		if n.Repeated > 0 {
			text += fmt.Sprint(" +", n.Repeated)
		}
		all = append(all, text)
	}
	in.notices = nil
	return all
}

func (in *inbox) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := in.told(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// inHours runs a test with a clock of its own and a center with one receiver.
func inHours(t *testing.T, test func(*testing.T, *Center, *inbox)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, in := new(Center), newInbox()
		set := []*Receiver{in.Receiver}
		c.Start(set)
		defer c.Stop(set)
		test(t, c, in)
	})
}

func recovered(of Kind, cause string) Alert { return Alert{Kind: Recovered, Of: of, Cause: cause} }

func TestCauseIsToldOfOnceAnHour(t *testing.T) {
	inHours(t, func(t *testing.T, c *Center, in *inbox) {
		a, b := Alert{Kind: DeadLetter, Cause: "a"}, Alert{Kind: DeadLetter, Cause: "b"}
		c.Raise(a)
		c.Raise(b)
		c.Raise(Alert{Kind: Answers, Cause: "a"})
		in.expect(t, "dead_letter a", "dead_letter b", "answers a")
		time.Sleep(time.Hour - time.Nanosecond)
		c.Raise(a)
		c.Raise(a)
		in.expect(t)
		time.Sleep(time.Nanosecond)
		in.expect(t) // an event of its own, not something that lasts
		c.Raise(a)
		in.expect(t, "dead_letter a +2")
	})
}

func TestWhatLastsIsToldOfAgain(t *testing.T) {
	inHours(t, func(t *testing.T, c *Center, in *inbox) {
		for range 24 * 60 {
			c.Raise(Alert{Kind: Oldest, Cause: "a"})
			time.Sleep(time.Minute)
		}
		in.expect(t, "oldest a", "oldest a +359", "oldest a +359", "oldest a +359")
	})
}

func TestUrgentAlertIsToldAtOnce(t *testing.T) {
	inHours(t, func(t *testing.T, c *Center, in *inbox) {
		a := Alert{Kind: Refusing, Cause: "a"}
		c.Raise(a)
		time.Sleep(7 * time.Minute)
		a.Urgent = true
		c.Raise(a)
		c.Raise(a)
		in.expect(t, "refusing a", "refusing a")
	})
}

func TestRecoveryIsToldOnce(t *testing.T) {
	inHours(t, func(t *testing.T, c *Center, in *inbox) {
		c.Raise(recovered(Refusing, "a")) // of what nobody was told of
		c.Raise(Alert{Kind: Refusing, Cause: "a"})
		c.Raise(recovered(Answers, "a"))
		c.Raise(recovered(Refusing, "b"))
		in.expect(t, "refusing a")
		c.Raise(recovered(Refusing, "a"))
		c.Raise(recovered(Refusing, "a"))
		in.expect(t, "recovered a")
		time.Sleep(time.Hour)
		c.Raise(Alert{Kind: Refusing, Cause: "a"})
		in.expect(t, "refusing a")
	})
}

// TestEndOfWhatOthersToldOfIsTold has an account recover that another gateway, or this one
// before a restart, has told of.
func TestEndOfWhatOthersToldOfIsTold(t *testing.T) {
	inHours(t, func(t *testing.T, c *Center, in *inbox) {
		for _, kind := range Kinds() {
			c.Raise(recovered(kind, string(kind)))
		}
		in.expect(t, "recovered silence", "recovered subscription", "recovered token")
		c.Raise(recovered(Token, "token")) // as its state could not be stored
		in.expect(t)
		c.Raise(Alert{Kind: Token, Cause: "token"})
		in.expect(t, "token token")
		for i := range 100 {
			c.Raise(recovered(Silence, fmt.Sprint(i)))
			synctest.Wait()
		}
		if n := len(in.told()); n != maxNotices-3+1 {
			t.Errorf("told of %d ends", n)
		}
	})
}

// TestEndOfWhatWasLeftOutIsNot has more causes in an hour than are told of.
func TestEndOfWhatWasLeftOutIsNot(t *testing.T) {
	inHours(t, func(t *testing.T, c *Center, in *inbox) {
		for i := range 2 * maxNotices {
			c.Raise(Alert{Kind: Token, Cause: fmt.Sprint(i)})
		}
		in.told()
		for i := range 2 * maxNotices {
			c.Raise(recovered(Token, fmt.Sprint(i)))
		}
		if n := len(in.told()); n != maxNotices {
			t.Errorf("told of %d ends, want %d", n, maxNotices)
		}
	})
}

// TestOtherReasonIsToldWhenTheHourIsOver has an access token that ends, and is dead before.
func TestOtherReasonIsToldWhenTheHourIsOver(t *testing.T) {
	inHours(t, func(t *testing.T, c *Center, in *inbox) {
		ends, dead := Alert{Kind: Token, Cause: "a", Reason: "ends"}, Alert{Kind: Token, Cause: "a", Reason: "dead"}
		c.Raise(ends)
		in.expect(t, "token a")
		time.Sleep(time.Minute)
		c.Raise(dead)
		time.Sleep(58 * time.Minute)
		in.expect(t)
		time.Sleep(time.Minute)
		in.expect(t, "token a")
		time.Sleep(2 * time.Hour)
		c.Raise(ends)
		in.expect(t, "token a")
		c.Raise(dead)
		c.Raise(ends) // again what was told
		time.Sleep(2 * time.Hour)
		in.expect(t)
		c.Raise(dead)
		in.expect(t, "token a +2")
		for range 3 {
			time.Sleep(24*time.Hour - time.Minute)
			c.Raise(dead)
			in.expect(t, "token a")
		}
		c.Raise(ends)
		c.Raise(recovered(Token, "a"))
		time.Sleep(2 * time.Hour)
		in.expect(t, "recovered a +1")
	})
}

// TestReturnWithinTheHourIsToldLater has a cause come back after it was said to be over: it
// must not stay unsaid, and neither may it flap.
func TestReturnWithinTheHourIsToldLater(t *testing.T) {
	inHours(t, func(t *testing.T, c *Center, in *inbox) {
		a := Alert{Kind: Refusing, Cause: "a"}
		for range 10 {
			c.Raise(a)
			time.Sleep(time.Minute)
			c.Raise(recovered(Refusing, "a"))
		}
		in.expect(t, "refusing a", "recovered a")
		c.Raise(a)
		time.Sleep(49 * time.Minute)
		in.expect(t)
		time.Sleep(time.Minute)
		in.expect(t, "refusing a")
		c.Raise(recovered(Refusing, "a"))
		in.expect(t, "recovered a")
		c.Raise(a)
		c.Raise(recovered(Refusing, "a"))
		time.Sleep(2 * time.Hour)
		in.expect(t)
	})
}

func TestFloodOfCausesMakesFewNotices(t *testing.T) {
	inHours(t, func(t *testing.T, c *Center, in *inbox) {
		const hours = 3
		total := 0
		for hour := range hours {
			for i := range 1_000 {
				c.Raise(Alert{Kind: DeadLetter, Cause: fmt.Sprint(hour, "/", i), Urgent: i%2 == 0})
				c.Raise(Alert{Kind: Token, Cause: fmt.Sprint(i)})
				if i%16 == 0 {
					synctest.Wait() // else they are dropped because too many wait
				}
			}
			total += len(in.told())
			time.Sleep(time.Hour)
		}
		if want := hours * 2 * (maxNotices + 1); total != want {
			t.Errorf("told of %d, want %d", total, want)
		}
		for i := range 10 * maxCauses {
			c.Raise(Alert{Kind: Answers, Cause: fmt.Sprint(i)})
			time.Sleep(time.Hour / maxNotices)
		}
		if n := len(c.memory); n != maxCauses {
			t.Errorf("%d causes are remembered, want %d", n, maxCauses)
		}
	})
}

func TestSyncTellsOfWhatIsOver(t *testing.T) {
	inHours(t, func(t *testing.T, c *Center, in *inbox) {
		a, b := Alert{Kind: CA, Cause: "a"}, Alert{Kind: CA, Cause: "b"}
		c.Sync(CA, []Alert{a, b}, "over")
		in.expect(t, "ca a", "ca b")
		for range 6 {
			c.Sync(CA, []Alert{a, b}, "over")
			time.Sleep(24 * time.Hour)
		}
		in.expect(t)
		c.Sync(CA, []Alert{b}, "over")
		in.expect(t, "recovered a +6")
	})
}

func TestReceiverIsToldOfItsKinds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, in := new(Center), newInbox(CA, Answers)
		set := []*Receiver{in.Receiver}
		c.Start(set)
		defer c.Stop(set)
		for _, kind := range []Kind{Refusing, CA} {
			c.Raise(Alert{Kind: kind, Cause: "a"})
			c.Raise(recovered(kind, "a"))
		}
		in.expect(t, "ca a", "recovered a")
	})
}

// TestReloadRepeatsNothing has a new config start before the old one stops.
func TestReloadRepeatsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := new(Center)
		config := func() *inbox {
			in := newInbox()
			c.Start([]*Receiver{in.Receiver})
			return in
		}
		stop := func(in *inbox) { c.Stop([]*Receiver{in.Receiver}) }
		first := config()
		c.Raise(Alert{Kind: CA, Cause: "a"})
		first.expect(t, "ca a")
		second := config()
		c.Raise(Alert{Kind: CA, Cause: "a"})
		c.Raise(Alert{Kind: CA, Cause: "b"})
		first.expect(t)
		second.expect(t, "ca b")
		stop(first)

		failing := config() // it starts, but its config does not
		stop(failing)
		c.Raise(recovered(CA, "a"))
		second.expect(t, "recovered a +1")
		stop(second)
	})
}

// TestSlowReceiverBlocksNobody has one that never returns, one that fails, and a reload.
func TestSlowReceiverBlocksNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := new(Center)
		never := make(chan struct{})
		hanging := &Receiver{Name: "hanging", Key: "hanging", Logger: zap.NewNop(), Send: func(context.Context, *Notice) error {
			<-never
			return nil
		}}
		failing := &Receiver{Name: "failing", Key: "inbox", Logger: zap.NewNop(), Send: func(context.Context, *Notice) error { return errors.New("no") }}
		set := []*Receiver{hanging, failing}
		c.Start(set)
		begin := time.Now()
		for i := range maxNotices {
			for kind := range kinds {
				c.Raise(Alert{Kind: kind, Cause: fmt.Sprint(i)})
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("it took %s", took)
		}
		synctest.Wait()
		if n := len(hanging.waiting); n != maxWaiting {
			t.Errorf("%d wait, want %d", n, maxWaiting)
		}

		next := newInbox()
		c.Start([]*Receiver{next.Receiver})
		begin = time.Now()
		c.Stop(set)
		if took := time.Since(begin); took > stopGrace+time.Second {
			t.Errorf("the reload took %s", took)
		}
		if n := len(next.told()); n != maxWaiting {
			t.Errorf("the next config was handed %d, want %d", n, maxWaiting)
		}
		c.Stop([]*Receiver{next.Receiver})
		close(never)
	})
}

func TestReceiverIsTriedAgainForAnHour(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err            error
		tries          int
		lasts, tooLong time.Duration
	}{
		"network":     {err: errors.New("no"), lasts: 50 * time.Minute, tooLong: time.Hour, tries: 20},
		"permanent":   {err: &Failure{Err: errors.New("no"), Permanent: true}, tooLong: 0, tries: 1},
		"retry after": {err: &Failure{Err: errors.New("no"), After: 5 * time.Minute}, lasts: 50 * time.Minute, tooLong: time.Hour, tries: 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := new(Center)
				tries := 0
				begin := time.Now()
				var last time.Duration
				r := &Receiver{Name: "r", Logger: zap.NewNop(), Send: func(context.Context, *Notice) error {
					tries++
					last = time.Since(begin)
					return tc.err
				}}
				set := []*Receiver{r}
				c.Start(set)
				c.Raise(Alert{Kind: CA, Cause: "a"})
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				if last < tc.lasts || last > tc.tooLong {
					t.Errorf("the last try was after %s", last)
				}
				if tries > tc.tries+6 || tries < tc.tries-6 {
					t.Errorf("%d tries, want about %d", tries, tc.tries)
				}
				c.Stop(set)
			})
		})
	}
}

func TestPanicOfReceiverEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, in := new(Center), newInbox()
		send := in.Send
		in.Send = func(ctx context.Context, n *Notice) error {
			if n.Cause == "a" {
				panic("no")
			}
			return send(ctx, n)
		}
		set := []*Receiver{in.Receiver}
		c.Start(set)
		defer c.Stop(set)
		c.Raise(Alert{Kind: CA, Cause: "a"})
		c.Raise(Alert{Kind: CA, Cause: "b"})
		in.expect(t, "ca b")
	})
}

func TestTitleNamesHostAndKind(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		n := Notice{Alert: Alert{Kind: kind, Of: CA}, Host: "gw1"}
		if title := n.Title(); !strings.HasPrefix(title, "Instagram webhooks on gw1: ") || len(title) < 35 {
			t.Errorf("the title of %s is %q", kind, title)
		}
	}
}

// TestFollowedAlertsAreNotTold takes note of what another process tells, and goes on when that
// has ended.
func TestFollowedAlertsAreNotTold(t *testing.T) {
	inHours(t, func(t *testing.T, c *Center, in *inbox) {
		a, b := Alert{Kind: Oldest, Cause: "a"}, Alert{Kind: Oldest, Cause: "b"}
		for range 7 * 60 {
			c.Follow(a)
			time.Sleep(time.Minute)
		}
		c.Follow(b)
		in.expect(t)
		time.Sleep(time.Minute)
		c.Raise(a)
		c.Raise(b) // the other process may have ended before it did
		in.expect(t, "oldest b")
		c.Raise(b)
		time.Sleep(4*time.Hour + 57*time.Minute) // six hours after it was followed
		c.Raise(a)
		in.expect(t)
		time.Sleep(2 * time.Minute)
		c.Raise(a)
		in.expect(t, "oldest a +2")
		c.Follow(recovered(Oldest, "a"))
		c.Raise(recovered(Oldest, "a"))
		in.expect(t)
		c.Raise(recovered(Oldest, "b"))
		in.expect(t, "recovered b +1")
		// What comes back within the hour is told of by one of them.
		c.Raise(b)
		c.Raise(recovered(Oldest, "b"))
		in.expect(t, "oldest b", "recovered b")
		c.Raise(b)
		c.Follow(b)
		time.Sleep(2 * time.Hour)
		in.expect(t)
		c.Follow(recovered(Token, "a"))
		in.expect(t)
		c.Raise(recovered(Token, "a"))
		in.expect(t, "recovered a")
	})
}
