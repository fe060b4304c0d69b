package account

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/internal/graph"
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

// TestRepairsAreCountedAcrossConfigs changes an option each hour, and switches reconcile off in
// between.
func TestRepairsAreCountedAcrossConfigs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		for i := range 20 {
			f.lose("mentions")
			g := f.start(false, f.account(func(a *Account) {
				a.Reconcile, a.Silence = Repair, caddy.Duration(time.Duration(1000+i)*day)
				if i%5 == 4 {
					a.Reconcile = Off
				}
			}))
			wait(59 * time.Minute)
			end(g)
		}
		if n := f.asked("POST", "/subscribed_apps"); n != maxRepairs {
			t.Errorf("repaired %d times in a day", n)
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
		wait(time.Hour)
		equal(t, "told", f.told(), []string{"subscription missing messages " + accountID})
	})
}

// TestOtherAppInOurPlace has another app take the place of ours, whose id the config does not
// tell.
func TestOtherAppInOurPlace(t *testing.T) {
	const otherApp = "999"
	other := func(f *fixture, fields ...string) {
		f.meta.Change(func(s *graphtest.State) {
			s.Accounts[0].Subscribed = map[string][]string{otherApp: fields}
		})
	}
	for name, test := range map[string]struct {
		change func(*Account)
		before func(*fixture)
		then   []func(*fixture) // every 7 hours
		has    []string         // ours, after
		told   []string
	}{
		"is reported": {
			then: []func(*fixture){func(f *fixture) { other(f, "comments", "messages") }},
			told: []string{"subscription missing comments,messages " + accountID},
		},
		"is repaired": {
			change: repair,
			then:   slices.Repeat([]func(*fixture){func(f *fixture) { other(f, "comments", "messages") }}, 2),
			has:    []string{"comments", "messages"},
		},
		"was there before ours": {
			change: repair,
			before: func(f *fixture) { other(f, "mentions") },
			then: []func(*fixture){
				func(*fixture) {},
				func(f *fixture) { other(f, "comments", "messages") },
			},
			has: []string{"comments", "messages"},
		},
		"was there before ours, which has more": {
			change: repair,
			before: func(f *fixture) { other(f, "comments", "messages") },
			then: []func(*fixture){func(f *fixture) {
				f.meta.Change(func(s *graphtest.State) {
					s.Accounts[0].Subscribed = map[string][]string{appID: {"comments", "mentions", "messages"}}
				})
			}},
			has:  []string{"comments", "mentions", "messages"},
			told: []string{"subscription missing comments,messages " + accountID},
		},
		"a repair does nothing": {
			change: repair,
			then: []func(*fixture){func(f *fixture) {
				other(f, "comments", "messages")
				f.meta.Fail(graphtest.Fault{Method: "POST", Path: "/subscribed_apps", Ignored: true, Times: 100})
			}},
			told: []string{"subscription missing comments,messages " + accountID},
		},
		"the token is the other app's": {
			change: repair,
			then: []func(*fixture){func(f *fixture) {
				other(f, "comments", "messages")
				f.meta.Change(func(s *graphtest.State) {
					s.Apps = append(s.Apps, &graphtest.App{ID: otherApp})
					s.Tokens = append(s.Tokens, &graphtest.Token{Value: "IGAA-s3cr3t-new", App: otherApp, Account: accountID,
						Issued: time.Now(), Expires: time.Now().Add(graph.TokenLife)})
				})
				f.writeToken("IGAA-s3cr3t-new")
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				if test.before != nil {
					test.before(f)
				}
				g := f.start(true, f.account(test.change))
				defer end(g)
				wait(time.Minute)
				for _, then := range test.then {
					then(f)
					wait(7 * time.Hour)
				}
				equal(t, "told", f.told(), test.told)
				equal(t, "subscribed", f.subscribed(), test.has)
				if s := g.status(t); (s.Subscription == Complete) != (test.told == nil) {
					t.Errorf("%+v", s)
				}
			})
		})
	}
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

// TestRepairsAreBoundedIfTheyAreForgotten has a storage that takes every other write, so that
// what follows on a repair is lost.
func TestRepairsAreBoundedIfTheyAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		storage := &flaky{Storage: f.storage}
		f.storage = storage
		g := f.start(true, f.account(func(a *Account) { a.Reconcile = Repair }))
		defer end(g)
		wait(time.Hour)
		writes := 0
		storage.failing(func(key string) (fails, half bool) {
			writes += map[bool]int{key == stateKey: 1}[true]
			return key == stateKey && writes%2 == 0, false
		})
		for range day / (5 * time.Minute) {
			f.lose("comments")
			wait(5 * time.Minute)
		}
		if n := f.asked("POST", "/subscribed_apps"); n > maxRepairs {
			t.Errorf("repaired %d times in a day", n)
		}
		storage.failing(nil)
		wait(day)
		f.lose("comments")
		wait(day)
		if n := f.asked("POST", "/subscribed_apps"); n == 0 {
			t.Error("not repaired once the storage is well")
		}
	})
}

// TestDeauthorizationOutlastsConfigs has the token of before go on working.
func TestDeauthorizationOutlastsConfigs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(nil))
		defer func() { end(g) }()
		wait(time.Hour)
		if found, err := g.Deauthorized(t.Context(), accountID, time.Now()); !found || err != nil {
			t.Fatalf("found %t, %v", found, err)
		}
		f.meta.Change(func(s *graphtest.State) { s.Tokens[0].Subcode = 467 })
		wait(7 * time.Hour)
		f.meta.Change(func(s *graphtest.State) { s.Tokens[0].Subcode = 0 })
		end(g)
		g = f.start(false, f.account(func(a *Account) { a.Reconcile = Repair }))
		f.lose()
		wait(7 * time.Hour)
		if n := f.asked("POST", "/subscribed_apps"); n != 0 || !strings.Contains(g.status(t).ToDo, "took the app's rights away") {
			t.Errorf("repaired %d times; to do: %s", n, g.status(t).ToDo)
		}
		f.meta.Change(func(s *graphtest.State) {
			s.Tokens = append(s.Tokens, &graphtest.Token{Value: "IGAA-s3cr3t-new", App: appID, Account: accountID})
		})
		f.writeToken("IGAA-s3cr3t-new")
		wait(7 * time.Hour)
		if got := f.subscribed(); len(got) != 2 {
			t.Errorf("with a new token it is subscribed to %q", got)
		}
	})
}

// TestDeauthorizationWaitsForTheState has another gateway keep the state to itself, and the
// process end before that is over. The request comes again and again.
func TestDeauthorizationWaitsForTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(repair))
		wait(time.Hour)
		st, err := g.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		st.Lease = lease{By: "another", Until: time.Now().Add(maxLease).UTC()}
		if err := g.store.save(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		issued := time.Now()
		for range 100 {
			if found, err := g.Deauthorized(t.Context(), accountID, issued); !found || err != nil {
				t.Fatalf("found %t, %v", found, err)
			}
		}
		_ = g.Stop()
		if kept, err := g.store.deauthorizations(t.Context()); len(kept) != 1 || err != nil {
			t.Errorf("kept %v, %v", kept, err)
		}
		f.lose("mentions")
		g = f.start(true, f.account(repair))
		defer func() { end(g) }()
		wait(time.Hour)
		if s := g.status(t); s.Deauthorized.IsZero() || s.Subscription != Missing || f.asked("POST", "/subscribed_apps") != 0 {
			t.Errorf("%+v", s)
		}
		if _, err := g.Deauthorized(t.Context(), accountID, issued); err != nil { // what is noted is not kept again
			t.Error(err)
		}
		if kept, err := g.store.deauthorizations(t.Context()); len(kept) != 0 || err != nil {
			t.Errorf("kept after it was noted: %v, %v", kept, err)
		}
	})
}

// TestDeauthorizationThatCannotBeStored has it fail, so that Meta is told.
func TestDeauthorizationThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		storage := &flaky{Storage: f.storage}
		f.storage = storage
		g := f.start(true, f.account(nil))
		defer end(g)
		wait(time.Hour)
		storage.failing(func(string) (bool, bool) { return true, false })
		if _, err := g.Deauthorized(t.Context(), accountID, time.Now()); err == nil {
			t.Error("it was promised to be noted")
		}
	})
}

// TestLinkIsKeptUntilThereIsAnAnswer has Meta fail once when it is asked for the Instagram
// account of a Page.
func TestLinkIsKeptUntilThereIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.writeToken(pageToken)
		fails := graphtest.Fault{Path: "/" + pageID, Status: 500, Times: 1, Body: []byte(`{"error":{"message":"later","type":"OAuthException","code":2}}`)}
		f.meta.Fail(fails)
		g := f.start(true, f.account(func(a *Account) {
			a.ID, a.Login, a.Fields, a.Silence = pageID, "facebook", []string{"messages"}, 0
		}))
		defer end(g)
		hours := func(n int) {
			for range n {
				g.events.Came(time.Now(), accountID, "messages")
				wait(time.Hour)
			}
		}
		hours(24)
		if last := g.status(t).LastEvent; time.Since(last) > 2*time.Hour {
			t.Errorf("the last event of the linked account came at %s", last)
		}
		f.meta.Change(func(s *graphtest.State) {
			s.Tokens = append(s.Tokens, &graphtest.Token{Value: "EAAB-s3cr3t-new", App: appID, Account: pageID, Facebook: true})
		})
		f.writeToken("EAAB-s3cr3t-new")
		f.meta.Fail(fails)
		hours(5 * 24)
		equal(t, "told", f.told(), nil)
		f.meta.Fail(graphtest.Fault{Path: "/" + pageID, Status: 400, Times: 1000, Body: []byte(`{"error":{"message":"no permission","type":"OAuthException","code":10}}`)})
		hours(5 * 24)
		equal(t, "told", f.told(), nil)
		if s := g.status(t); s.Subscription != Complete || s.ToDo != "" {
			t.Errorf("%+v", s)
		}
		if n := f.logs.FilterMessageSnippet("a Page is linked to").Len(); n != 2 { // once for each reason
			t.Errorf("%d lines in the log", n)
		}
	})
}
