package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

func TestReloadAsksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(nil))
		wait(time.Minute)
		asked := len(f.meta.Requests())
		if asked == 0 {
			t.Error("nothing was asked after the start")
		}
		for range 20 {
			next := f.start(false, f.account(nil)) // before the other one stops
			wait(time.Second)
			end(g)
			g = next
		}
		if n := len(f.meta.Requests()) - asked; n != 0 {
			t.Errorf("reloads of the same config asked %d times", n)
		}
		end(g)
		g = f.start(false, f.account(func(a *Account) { a.Fields = []string{"comments"} }))
		wait(time.Minute)
		if n := len(f.meta.Requests()) - asked; n == 0 {
			t.Error("another config asked nothing")
		}
		end(g)

		// A process that crashes again and again.
		asked = len(f.meta.Requests())
		for range 9 {
			g = f.start(true, f.account(func(a *Account) { a.Fields = []string{"comments"} }))
			wait(10 * time.Second)
			end(g)
		}
		if n := len(f.meta.Requests()) - asked; n > 2 {
			t.Errorf("9 starts in 10 minutes asked %d times", n)
		}
	})
}

// TestClockSetBack has a state that was written while the clock was wrong by more than a year.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		silent := f.account(func(a *Account) { a.Silence = caddy.Duration(time.Hour) })
		g := f.start(true, silent)
		wait(time.Minute)
		end(g)
		st, err := g.store.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r, later := st.of(silent), time.Now().UTC().Add(400*day)
		st.NotBefore = later
		r.Since, r.Seen, r.LastEvent, r.LastCheck, r.NextCheck, r.NotBefore = later, later, later, later, later, later
		r.Token.Since, r.Token.Tried, r.Token.Expires = later, later, later
		r.Subscription.Repairs = []time.Time{later, later, later}
		if err := g.store.save(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		asked := len(f.meta.Requests())
		g = f.start(false, silent)
		defer end(g)
		wait(2 * time.Hour)
		if len(f.meta.Requests()) == asked {
			t.Error("nothing was asked")
		}
		if st, err = g.store.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		r = st.of(silent)
		if r.LastCheck.After(now) || r.NextCheck.Sub(now) > checkInterval*2 || r.Token.Since.After(now) || r.Token.Expires.Sub(now) > graph.TokenLife || r.Subscription.Repairs[0].After(now) {
			t.Errorf("it has %+v", r)
		}
		if r.Alarms[alert.Silence] == "" {
			t.Error("the silence is not told of")
		}
	})
}

func TestOneCallASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		var accounts []*Account
		f.meta.Change(func(s *graphtest.State) {
			for i := range 30 {
				id := fmt.Sprint(17841400000000100 + i)
				s.Accounts = append(s.Accounts, &graphtest.Account{ID: id, Name: id, Subscribed: map[string][]string{appID: {"comments", "messages"}}})
				s.Tokens = append(s.Tokens, &graphtest.Token{Value: "IGAA-s3cr3t-" + id, App: appID, Account: id, Issued: time.Now().Add(-48 * time.Hour), Expires: time.Now().Add(30 * day)})
				file := filepath.Join(f.t.TempDir(), id)
				if err := os.WriteFile(file, []byte("IGAA-s3cr3t-"+id), 0o600); err != nil {
					t.Fatal(err)
				}
				accounts = append(accounts, f.account(func(a *Account) { a.ID, a.Token = id, "{file."+file+"}" }))
			}
		})
		g := f.start(true, accounts...)
		defer end(g)
		wait(5 * time.Minute)
		requests := f.meta.Requests()
		if len(requests) != 60 {
			t.Errorf("%d requests", len(requests))
		}
		for i := 1; i < len(requests); i++ {
			if gap := requests[i].Time.Sub(requests[i-1].Time); gap < 999*time.Millisecond {
				t.Errorf("request %d came %s after the one before", i, gap)
			}
		}
		wait(7 * time.Hour)
		if n := len(f.meta.Requests()) - 60; n < 30 || n > 60 {
			t.Errorf("%d requests in the 7 hours after", n)
		}
	})
}

func TestLimitsAreObeyed(t *testing.T) {
	for name, test := range map[string]struct {
		use   map[string]string
		fault *graphtest.Fault
		least time.Duration
	}{
		"app": {use: map[string]string{"X-App-Usage": `{"call_count":90}`}, least: 15 * time.Minute},
		"business": {use: map[string]string{"X-Business-Use-Case-Usage": `{"1":[{"type":"instagram","call_count":95}]}`},
			least: 15 * time.Minute},
		"regain": {use: map[string]string{"X-Business-Use-Case-Usage": `{"1":[{"type":"instagram","call_count":10,"estimated_time_to_regain_access":900}]}`},
			least: 15 * time.Hour},
		"refused": {fault: &graphtest.Fault{Path: "/subscribed_apps", Status: 400, Header: map[string]string{
			"X-Business-Use-Case-Usage": `{"1":[{"type":"instagram","call_count":100,"estimated_time_to_regain_access":120}]}`},
			Body: []byte(`{"error":{"message":"(#80002)","type":"OAuthException","code":80002}}`)}, least: 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				if test.use != nil {
					f.meta.Use(test.use)
				}
				if test.fault != nil {
					f.meta.Fail(*test.fault)
				}
				g := f.start(true, f.account(nil))
				defer end(g)
				wait(time.Minute)
				asked := len(f.meta.Requests())
				if test.use != nil && asked != 1 {
					t.Errorf("%d requests before the limit was obeyed", asked)
				}
				f.meta.Use(nil)
				wait(test.least - 2*time.Minute)
				if n := len(f.meta.Requests()) - asked; n != 0 {
					t.Errorf("asked %d times before %s", n, test.least)
				}
				wait(7 * time.Hour)
				if s := g.status(t); s.Subscription != Complete {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestThrottled has Meta throttle the first of two accounts.
func TestThrottled(t *testing.T) {
	for code, all := range map[int]bool{4: true, 17: false, 32: false, 613: false, 80002: false} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Setenv("ACCOUNT_TEST_PAGE_TOKEN", pageToken)
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.meta.Fail(graphtest.Fault{Path: accountID + "/subscribed_apps", Status: 400,
					Body: fmt.Appendf(nil, `{"error":{"message":"too many calls","type":"OAuthException","code":%d}}`, code)})
				g := f.start(true, f.account(nil), f.account(func(a *Account) {
					a.ID, a.Login, a.Token, a.Fields = pageID, "facebook", "{env.ACCOUNT_TEST_PAGE_TOKEN}", []string{"messages"}
				}))
				defer end(g)
				wait(time.Minute)
				if n := f.asked("GET", pageID+"/subscribed_apps"); (n == 0) != all {
					t.Errorf("asked %d times about the other account", n)
				}
				wait(time.Hour)
				if n := f.asked("GET", pageID+"/subscribed_apps"); n != 1 {
					t.Errorf("asked %d times about the other account within an hour", n)
				}
			})
		})
	}
}

// TestRefusalsAreSpread has Meta refuse in a way that does not pass: the next check is at a
// random time, as any other.
func TestRefusalsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.meta.Fail(graphtest.Fault{Path: "/subscribed_apps", Status: 400, Times: 1000,
			Body: []byte(`{"error":{"message":"(#10) no permission","type":"OAuthException","code":10}}`)})
		g := f.start(true, f.account(nil))
		defer end(g)
		for range 5 {
			wait(7 * time.Hour)
			s := g.status(t)
			if pause := s.NextCheck.Sub(s.LastCheck); pause == checkInterval || (pause-checkInterval).Abs() > checkInterval/10 {
				t.Errorf("the next check comes after %s", pause)
			}
		}
	})
}

func TestRefusingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(nil))
		defer end(g)
		wait(20 * time.Minute)
		f.refuse(true)
		wait(5 * time.Minute)
		asked := len(f.meta.Requests())
		f.refuse(false)
		wait(2 * time.Minute)
		if n := len(f.meta.Requests()) - asked; n == 0 {
			t.Error("nothing was asked after refusing had ended")
		}
	})
}

func TestTwoGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		a, b := f.start(true, f.account(repair)), f.start(true, f.account(repair))
		wait(2 * time.Minute)
		f.lose("comments")
		wait(7 * day)
		if n := f.asked("POST", "/subscribed_apps"); n != 1 {
			t.Errorf("repaired %d times", n)
		}
		if n := f.asked("GET", "/subscribed_apps"); n < 25 || n > 34 {
			t.Errorf("asked %d times in a week", n)
		}
		f.lose("mentions")
		f.meta.Fail(graphtest.Fault{Method: "POST", Path: "/subscribed_apps", Ignored: true, Times: 100})
		wait(7 * time.Hour)
		equal(t, "told", f.told(), []string{"subscription missing comments,messages " + accountID})

		// Events that come to either count.
		b.event()
		wait(2 * time.Minute)
		if s := a.status(t); time.Since(s.LastEvent) > 3*time.Minute {
			t.Errorf("%+v", s)
		}
		end(a, b)
	})
}

// TestLockOfAKilledGateway leaves behind what a killed process does: a lock that is not
// kept fresh, or one that was being written.
func TestLockOfAKilledGateway(t *testing.T) {
	for name, content := range map[string]func() []byte{
		"fresh": func() []byte {
			text, _ := json.Marshal(map[string]time.Time{"created": time.Now(), "updated": time.Now()})
			return text
		},
		"empty": func() []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				locks := filepath.Join(f.dir, "locks")
				if err := os.MkdirAll(locks, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(locks, lockName+".lock"), content(), 0o600); err != nil {
					t.Fatal(err)
				}
				a, b := f.start(true, f.account(nil)), f.start(true, f.account(nil))
				defer end(a, b)
				wait(5 * time.Second)
				if n := len(f.meta.Requests()); name == "fresh" && n != 0 {
					t.Errorf("asked %d times while another one had the lock", n)
				}
				wait(time.Minute)
				if n := f.asked("GET", "/subscribed_apps"); n != 1 {
					t.Errorf("asked %d times", n)
				}
			})
		})
	}
}

func TestDamagedState(t *testing.T) {
	for name, content := range map[string]string{
		"cut": `{"accounts":{"178414000`, "empty": "", "null": "null", "array": "[]", "null account": `{"accounts":{"` + accountID + `":null}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				if err := f.storage.Store(t.Context(), stateKey, []byte(content)); err != nil {
					t.Fatal(err)
				}
				g := f.start(true, f.account(nil))
				defer end(g)
				wait(2 * time.Minute)
				if s := g.status(t); s.Subscription != Complete {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestStateOfANewerVersion leaves alone what a newer version has written, says so, and goes on
// once that is gone.
func TestStateOfANewerVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		const newer = `{"version":2,"accounts":[{"id":"` + accountID + `"}],"lease":"none"}`
		if err := f.storage.Store(t.Context(), stateKey, []byte(newer)); err != nil {
			t.Fatal(err)
		}
		g := f.start(true, f.account(nil))
		defer end(g)
		wait(6 * time.Hour)
		if _, err := g.Statuses(t.Context()); !errors.Is(err, errNewer) || !strings.Contains(err.Error(), "version 2") {
			t.Errorf("the status is known: %v", err)
		}
		if _, err := g.Deauthorized(t.Context(), accountID, time.Now()); !errors.Is(err, errNewer) {
			t.Errorf("a deauthorization was noted: %v", err)
		}
		if n := len(f.meta.Requests()); n != 0 {
			t.Errorf("asked %d times, and nothing can be remembered", n)
		}
		if logged := f.logs.FilterMessageSnippet("not looked after").Len(); logged < 5 || logged > 40 {
			t.Errorf("%d lines in the log", logged)
		}
		if now, err := f.storage.Load(t.Context(), stateKey); err != nil || string(now) != newer {
			t.Fatalf("the state is %s, %v", now, err)
		}
		if err := f.storage.Delete(t.Context(), stateKey); err != nil {
			t.Fatal(err)
		}
		wait(time.Hour)
		if s := g.status(t); s.Subscription != Complete {
			t.Errorf("%+v", s)
		}
	})
}

func TestStorageFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.storage = &flaky{Storage: f.storage, fail: func(string) (bool, bool) { return true, false }}
		g := f.start(true, f.account(nil))
		defer end(g)
		wait(6 * time.Hour)
		if n := len(f.meta.Requests()); n != 0 {
			t.Errorf("asked %d times, and nothing was remembered", n)
		}
		logged := f.logs.FilterMessageSnippet("storage fails").Len()
		if logged < 5 || logged > 40 {
			t.Errorf("%d lines in the log", logged)
		}
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(func(a *Account) { a.Silence = caddy.Duration(12 * time.Hour) }))
		g.event()
		wait(11 * time.Hour)
		end(g) // a restart does not count as an event
		g = f.start(true, g.accounts...)
		defer func() { end(g) }()
		wait(50 * time.Minute)
		equal(t, "told", f.told(), nil)
		asked := len(f.meta.Requests())
		wait(15 * time.Minute)
		equal(t, "told", f.told(), []string{"silence silent " + accountID})
		if s := g.status(t); !s.Silent || s.ToDo == "" || len(f.meta.Requests()) == asked {
			t.Errorf("%+v; %d requests", s, len(f.meta.Requests())-asked)
		}
		wait(2*day + time.Hour)
		equal(t, "told", f.told(), nil)
		if f.reminders != 2 {
			t.Errorf("told again %d times in two days", f.reminders)
		}
		g.event()
		wait(2 * time.Minute)
		equal(t, "told", f.told(), []string{"silence over: silent " + accountID})

		f.refuse(true) // nothing is known of the account then
		wait(2 * day)
		f.refuse(false)
		g.event()
		wait(2 * time.Minute)
		equal(t, "told", f.told(), nil)
	})
}

func TestNoEventEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(func(a *Account) { a.Silence = 0 }))
		defer end(g)
		wait(25 * time.Hour)
		equal(t, "told", f.told(), []string{"silence silent " + accountID})
	})
}

// TestLearnedSilence has an account that gets an event each 15 minutes by day, and none
// by night.
func TestLearnedSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(func(a *Account) { a.Silence = 0 }))
		defer end(g)
		for range 7 {
			for range 14 * 4 {
				g.event()
				wait(15 * time.Minute)
			}
			wait(10 * time.Hour)
		}
		equal(t, "told", f.told(), nil)
		if after := time.Duration(g.status(t).SilentAfter) * time.Second; after < 30*time.Hour || after > 40*time.Hour {
			t.Errorf("alarm after %s", after)
		}
		wait(40 * time.Hour)
		equal(t, "told", f.told(), []string{"silence silent " + accountID})
	})
}

func TestGaps(t *testing.T) {
	t.Parallel()
	var g gaps
	if got := g.percentile99(); got != 0 {
		t.Errorf("nothing learned: %s", got)
	}
	for range 5000 {
		g.add(time.Hour)
	}
	if got := g.percentile99(); got < time.Hour || got > 75*time.Minute {
		t.Errorf("always an hour: %s", got)
	}
	for range 100 {
		g.add(1000 * day)
	}
	if len(g) > maxGaps || g.total() > 200*forgetAfter {
		t.Errorf("%d classes, %g seconds", len(g), g.total())
	}
	data, err := json.Marshal(g)
	if err != nil || len(data) > 1500 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	text := strings.Join(strings.Fields(fmt.Sprint(g)), ",")
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Error(text)
	}
}
