package account

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(nil))
		defer end(g)
		wait(time.Minute)
		equal(t, "told", f.told(), nil)
		f.lose("comments")
		wait(7 * time.Hour)
		equal(t, "told", f.told(), []string{"subscription missing messages " + accountID})
		if s := g.status(t); s.Subscription != Missing || !strings.Contains(s.ToDo, "messages") {
			t.Errorf("%+v", s)
		}
		wait(2 * day)
		equal(t, "told", f.told(), nil)
		f.lose("comments", "messages", "mentions")
		wait(7 * time.Hour)
		equal(t, "told", f.told(), []string{"subscription over: missing messages " + accountID})
		if n := f.asked("POST", "/subscribed_apps"); n != 0 {
			t.Errorf("changed %d times", n)
		}
		// Every 6 hours, give or take.
		if n := f.asked("GET", "/subscribed_apps"); n < 9 || n > 13 {
			t.Errorf("asked %d times in 62 hours", n)
		}
	})
}

func repair(a *Account) { a.Reconcile = Repair }

func TestRepair(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Account)
		before func(*fixture, *gateway)
		has    []string // after
		told   []string
		toDo   string
	}{
		"adds what is missing": {change: repair, has: []string{"comments", "mentions", "messages"}},
		"keeps what is not wanted": {
			change: repair,
			before: func(f *fixture, _ *gateway) { f.lose("live_comments", "mentions") },
			told:   []string{"subscription missing comments,messages " + accountID}, toDo: "live_comments", has: []string{"live_comments", "mentions"},
		},
		"is told that it succeeded": {
			change: repair,
			before: func(f *fixture, _ *gateway) {
				f.meta.Fail(graphtest.Fault{Method: "POST", Path: "/subscribed_apps", Ignored: true, Times: 100})
			},
			told: []string{"subscription missing comments,messages " + accountID}, toDo: "did nothing", has: []string{"mentions"},
		},
		"is not told, and has succeeded": {
			change: repair,
			before: func(f *fixture, _ *gateway) {
				f.meta.Fail(graphtest.Fault{Method: "POST", Path: "/subscribed_apps", Drop: true, Done: true})
			},
			has: []string{"comments", "mentions", "messages"},
		},
		"not while deliveries are refused": {
			change: repair,
			before: func(f *fixture, _ *gateway) { f.refuse(true) },
			told:   []string{"subscription missing comments,messages " + accountID}, toDo: "refuses deliveries", has: []string{"mentions"},
		},
		"not after a deauthorization": {
			change: repair,
			before: func(f *fixture, g *gateway) {
				if found, err := g.Deauthorized(f.t.Context(), "2"+accountID[1:], time.Now()); !found || err != nil { // the id that the app alone knows
					f.t.Errorf("found %t, %v", found, err)
				}
			},
			told: []string{"subscription missing comments,messages " + accountID}, toDo: "took the app's rights away", has: []string{"mentions"},
		},
		"despite a deauthorization that is older than the token": {
			change: repair,
			before: func(f *fixture, g *gateway) {
				if found, err := g.Deauthorized(f.t.Context(), accountID, time.Now().Add(-time.Hour)); found || err != nil {
					f.t.Errorf("found %t, %v", found, err)
				}
			},
			has: []string{"comments", "mentions", "messages"},
		},
		"the callback is ours": {
			change: func(a *Account) {
				a.Reconcile, a.AppID, a.AppSecret, a.Callback = Repair, appID, "{env.ACCOUNT_TEST_APP_SECRET}", callback
			},
			has: []string{"comments", "mentions", "messages"},
		},
		"not if the callback is another's": {
			change: func(a *Account) {
				a.Reconcile, a.AppID, a.AppSecret, a.Callback = Repair, appID, "{env.ACCOUNT_TEST_APP_SECRET}", "https://elsewhere.example/"
			},
			told: []string{"subscription missing comments,messages " + accountID}, toDo: "hooks.example.com", has: []string{"mentions"},
		},
		"not if the callback cannot be found out": {
			change: func(a *Account) {
				a.Reconcile, a.AppID, a.AppSecret, a.Callback = Repair, appID, "{env.ACCOUNT_TEST_KEY}", callback
			},
			told: []string{"subscription missing comments,messages " + accountID}, toDo: "cannot be found out", has: []string{"mentions"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				g := f.start(true, f.account(test.change))
				defer end(g)
				wait(time.Minute)
				f.lose("mentions")
				if test.before != nil {
					test.before(f, g)
				}
				wait(7 * time.Hour)
				equal(t, "told", f.told(), test.told)
				equal(t, "subscribed", f.subscribed(), test.has)
				if s := g.status(t); !strings.Contains(s.ToDo, test.toDo) || (s.ToDo == "") != (test.toDo == "") {
					t.Errorf("to do: %q, want %q", s.ToDo, test.toDo)
				}
			})
		})
	}
}

func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(repair))
		defer end(g)
		var told []string
		for range 3 * 24 {
			f.lose("mentions")
			wait(time.Hour)
			told = append(told, f.told()...)
		}
		// In any 24 hours there are 3 at most.
		if n := f.asked("POST", "/subscribed_apps"); n < 6 || n > 12 {
			t.Errorf("repaired %d times in 3 days", n)
		}
		if !strings.Contains(strings.Join(told, "\n"), "subscription flapping comments,messages") {
			t.Errorf("told was %q", told)
		}
		if s := g.status(t); s.Repairs != uint64(f.asked("POST", "/subscribed_apps")) {
			t.Errorf("%d repairs", s.Repairs)
		}
		wait(2 * day)
		if s := g.status(t); s.Subscription != Complete {
			t.Errorf("%+v", s)
		}
	})
}

func TestOthersApps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.meta.Change(func(s *graphtest.State) { s.Accounts[0].Subscribed["999"] = []string{"comments", "messages"} })
		f.lose("comments")
		g := f.start(true, f.account(nil))
		wait(time.Minute)
		equal(t, "told", f.told(), []string{"subscription uncertain " + accountID})
		end(g)
		g = f.start(false, f.account(func(a *Account) { a.AppID = appID }))
		defer end(g)
		wait(time.Minute)
		equal(t, "told", f.told(), []string{"subscription missing messages " + accountID})
	})
}

func TestUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(nil))
		defer end(g)
		wait(time.Minute)
		f.meta.Fail(graphtest.Fault{Path: "/subscribed_apps", Status: 500, Times: 1000})
		wait(6*time.Hour + 40*time.Minute)
		asked := f.asked("GET", "/subscribed_apps")
		wait(2 * day)
		equal(t, "told", f.told(), []string{"subscription uncertain " + accountID})
		if n := f.asked("GET", "/subscribed_apps") - asked; n > 60 {
			t.Errorf("asked %d times of a Meta that fails", n)
		}
		if s := g.status(t); s.Subscription != Uncertain || s.Token.State != tokenValid {
			t.Errorf("%+v", s)
		}
	})
}
