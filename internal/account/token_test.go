package account

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

func managed(a *Account) { a.Token = Managed }

func TestManagedTokenIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.every = 20 * time.Minute
		g := f.start(true, f.account(managed))
		defer end(g)
		wait(time.Hour)
		if s := g.status(t); s.Token.State != tokenDead || !strings.Contains(s.ToDo, "token import") || len(f.meta.Requests()) != 0 {
			t.Fatalf("without a token: %+v", s)
		}
		equal(t, "told", f.told(), []string{"token dead " + accountID})

		if err := g.Import(t.Context(), accountID, igToken); err != nil {
			t.Fatal(err)
		}
		if s := g.status(t); s.Token.State != tokenUnknown || !s.Token.Expires.Equal(time.Now().Add(graph.TokenLife)) {
			t.Errorf("before the token is checked: %+v", s)
		}
		wait(f.every)
		imported := time.Now()
		if s := g.status(t); s.Token.State != tokenValid || !s.Token.AtLatest || s.Subscription != Complete || s.ToDo != "" {
			t.Errorf("after the import: %+v", s)
		}
		equal(t, "told", f.told(), []string{"token over: dead " + accountID})
		wait(23 * time.Hour)
		if n := f.asked("GET", "/refresh_access_token"); n != 0 {
			t.Errorf("renewed %d times before it was a day old", n)
		}
		for _, week := range []int{1, 2, 3} {
			wait(time.Until(imported.Add(time.Duration(week-1)*renewAge + 2*day)))
			if n := f.asked("GET", "/refresh_access_token"); n != week {
				t.Errorf("in week %d: renewed %d times", week, n)
			}
			if s := g.status(t); s.Token.AtLatest || time.Until(s.Token.Expires) < 58*day {
				t.Errorf("in week %d: %+v", week, s.Token)
			}
		}
		equal(t, "told", f.told(), nil)
	})
}

func TestRenewalsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.every = 20 * time.Minute
		f.meta.Change(func(s *graphtest.State) { s.Tokens[0].Expires = time.Now().Add(25 * day) })
		g := f.start(true, f.account(managed))
		defer end(g)
		synctest.Wait()
		if err := g.Import(t.Context(), accountID, igToken); err != nil {
			t.Fatal(err)
		}
		wait(32 * time.Hour) // it is renewed once, and lives 60 days from then on
		f.meta.Fail(graphtest.Fault{Path: "/refresh_access_token", Status: 400, Times: 1000,
			Body: []byte(`{"error":{"message":"not now","type":"IGApiException","code":100}}`)})
		before := f.asked("GET", "/refresh_access_token")
		wait(35 * day)
		weekly := f.asked("GET", "/refresh_access_token") - before
		wait(13 * day)
		daily := f.asked("GET", "/refresh_access_token") - before - weekly
		if weekly < 4 || weekly > 30 || daily < 10 || daily > 14 {
			t.Errorf("tried %d times in 35 days, and %d times in the 13 days after", weekly, daily)
		}
		equal(t, "told", f.told(), nil)
		wait(3 * day)
		equal(t, "told", f.told(), []string{"token ends " + accountID})
		if s := g.status(t); s.Token.State != tokenEnds || !strings.Contains(s.ToDo, "renewing") || s.Subscription != Complete {
			t.Errorf("%+v", s)
		}
		wait(12 * day)
		equal(t, "told", f.told(), []string{"token dead " + accountID})
		asked := len(f.meta.Requests())
		wait(2 * day)
		if n := len(f.meta.Requests()) - asked; n != 0 {
			t.Errorf("asked %d times with a dead token", n)
		}
	})
}

func TestDeadTokenIsAskedForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(nil))
		defer func() { end(g) }()
		wait(time.Hour)
		f.meta.Change(func(s *graphtest.State) { s.Tokens[0].Subcode = 460 })
		wait(7 * time.Hour)
		equal(t, "told", f.told(), []string{"token dead " + accountID})
		if s := g.status(t); s.Token.State != tokenDead || !strings.Contains(s.ToDo, "changed the password") || !s.NextCheck.IsZero() {
			t.Errorf("%+v", s)
		}
		asked := len(f.meta.Requests())
		wait(3 * day)
		f.meta.Change(func(s *graphtest.State) {
			s.Tokens = append(s.Tokens, &graphtest.Token{Value: "IGAA-s3cr3t-new", App: appID, Account: accountID, Issued: time.Now(), Expires: time.Now().Add(graph.TokenLife)})
		})
		if n := len(f.meta.Requests()) - asked; n != 0 {
			t.Errorf("asked %d times with a dead token", n)
		}
		end(g)
		g = f.start(false, f.account(func(a *Account) {
			a.Fields, a.Reconcile, a.Silence = []string{"comments"}, Repair, caddy.Duration(999*day)
		}))
		wait(2 * time.Minute)
		if n := len(f.meta.Requests()) - asked; n != 0 {
			t.Errorf("options that no token depends on asked %d times with a dead one", n)
		}
		for _, change := range []func(*Account){
			func(a *Account) { a.AppID = appID },
			func(a *Account) { a.APIVersion = "v25.0" },
		} {
			end(g)
			asked = len(f.meta.Requests())
			g = f.start(false, f.account(change))
			wait(2 * time.Minute)
			if n := len(f.meta.Requests()) - asked; n != 1 {
				t.Errorf("another config asked %d times with a dead token", n)
			}
		}
		equal(t, "told", f.told(), nil)
		f.writeToken("IGAA-s3cr3t-new")
		wait(2 * time.Minute)
		equal(t, "told", f.told(), []string{"token over: dead " + accountID})
		if s := g.status(t); s.Token.State != tokenValid || s.ToDo != "" {
			t.Errorf("%+v", s)
		}
	})
}

func TestTokenInFileIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.every = 20 * time.Minute
		g := f.start(true, f.account(func(a *Account) { a.Fields = nil }))
		defer end(g)
		wait(49 * day)
		equal(t, "told", f.told(), nil)
		wait(2 * day)
		equal(t, "told", f.told(), []string{"token ends " + accountID})
		if s := g.status(t); s.Token.State != tokenEnds || !s.Token.AtLatest || s.Token.Managed {
			t.Errorf("%+v", s.Token)
		}
		if n := f.asked("GET", "/refresh_access_token"); n != 0 {
			t.Errorf("a token that cannot be stored was renewed %d times", n)
		}
	})
}

func TestTokensOfOtherLoginsAreWatched(t *testing.T) {
	for login, token := range map[graph.Login]string{graph.FacebookLogin: pageToken, graph.UnifiedLogin: sysToken} {
		t.Run(string(login), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.meta.Change(func(s *graphtest.State) { s.Apps[0].RequireProof = true })
				g := f.start(true, f.account(func(a *Account) {
					a.Login, a.AppID, a.AppSecret, a.Token, a.Fields = string(login), appID, "{env.ACCOUNT_TEST_APP_SECRET}", Managed, []string{"messages"}
					if login == graph.FacebookLogin {
						a.ID = pageID
					}
				}))
				defer end(g)
				synctest.Wait()
				if err := g.Import(t.Context(), g.accounts[0].ID, graph.Secret(token)); err != nil {
					t.Fatal(err)
				}
				wait(9 * day)
				s := g.status(t)
				if s.Token.State != tokenValid || s.Token.AtLatest || s.Token.Expires.IsZero() != (login == graph.UnifiedLogin) || s.Subscription != Complete {
					t.Errorf("%+v", s)
				}
				if n := f.asked("GET", "/refresh_access_token"); n != 0 {
					t.Errorf("renewed %d times", n)
				}
				f.meta.Change(func(s *graphtest.State) {
					s.Tokens[1].Expires, s.Tokens[2].Expires = time.Now().Add(5*day), time.Now().Add(5*day)
				})
				f.told()
				wait(7 * time.Hour)
				equal(t, "told", f.told(), []string{"token ends " + g.accounts[0].ID})
				g.events.Came(time.Now(), accountID, "messages") // the account that the Page is linked to
				wait(2 * time.Minute)
				if s := g.status(t); s.LastEvent.IsZero() {
					t.Error("no event came")
				}
			})
		})
	}
}

func TestTokenOfAnotherAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.meta.Change(func(s *graphtest.State) {
			s.Accounts = append(s.Accounts, &graphtest.Account{ID: "17841400000000002", Name: "other"})
			s.Tokens = append(s.Tokens, &graphtest.Token{Value: "IGAA-s3cr3t-other", App: appID, Account: "17841400000000002",
				Issued: time.Now().Add(-48 * time.Hour), Expires: time.Now().Add(50 * day)})
		})
		f.writeToken("IGAA-s3cr3t-other")
		g := f.start(true, f.account(func(a *Account) { a.Reconcile = Repair }), &Account{ID: "17841400000000003", Token: Managed})
		defer end(g)
		wait(day)
		if s := g.status(t); s.Token.State != tokenDead || !strings.Contains(s.ToDo, "17841400000000002") {
			t.Errorf("%+v", s)
		}
		if n := len(f.meta.Requests()); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if err := g.Import(t.Context(), "17841400000000003", "IGAA-s3cr3t-other"); !errors.Is(err, ErrOtherAccount) {
			t.Errorf("imported: %v", err)
		}
		if err := g.Import(t.Context(), accountID, igToken); !errors.Is(err, ErrNotManaged) {
			t.Errorf("imported: %v", err)
		}
		if err := g.Import(t.Context(), "17841400000000003", "IGAA-s3cr3t-unknown"); !isDead(err) {
			t.Errorf("imported: %v", err)
		}
		if _, err := f.storage.Stat(t.Context(), tokenKey("17841400000000003")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a token is stored: %v", err)
		}
	})
}

func TestVault(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	v, err := newVault(store{storage}, "{env.ACCOUNT_TEST_KEY}")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	want := stored{Token: igToken, Since: time.Now().UTC().Truncate(time.Second)}
	if _, err := v.load(ctx, accountID); !errors.Is(err, errNoToken) {
		t.Errorf("nothing stored: %v", err)
	}
	if err := v.replace(ctx, accountID, want); err != nil {
		t.Fatal(err)
	}
	if got, err := v.load(ctx, accountID); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	sealed, err := storage.Load(ctx, tokenKey(accountID))
	if err != nil || bytes.Contains(sealed, []byte("s3cr3t")) {
		t.Errorf("stored is %q, %v", sealed, err)
	}
	if _, err := storage.Stat(ctx, tokenKey(accountID)+".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the copy aside is left: %v", err)
	}

	// A token in the place of another account's.
	if err := storage.Store(ctx, tokenKey(pageID), sealed); err != nil {
		t.Fatal(err)
	}
	if _, err := v.load(ctx, pageID); !errors.Is(err, errUnreadable) {
		t.Errorf("the token of another account: %v", err)
	}
	// Another key.
	t.Setenv("ACCOUNT_TEST_OTHER_KEY", strings.ToUpper(key))
	other, err := newVault(store{storage}, "{env.ACCOUNT_TEST_OTHER_KEY}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.load(ctx, accountID); !errors.Is(err, errUnreadable) {
		t.Errorf("with another key: %v", err)
	}
	// A crash while the token is written in its place, or before.
	if err := storage.Store(ctx, tokenKey(accountID)+".new", sealed); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func() error{
		func() error { return storage.Store(ctx, tokenKey(accountID), sealed[:5]) },
		func() error { return storage.Delete(ctx, tokenKey(accountID)) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if got, err := v.load(ctx, accountID); err != nil || got != want {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	// Every bit counts.
	for i := range sealed {
		sealed[i] ^= 1
		if err := storage.Store(ctx, tokenKey(pageID), sealed); err != nil {
			t.Fatal(err)
		}
		if _, err := v.load(ctx, pageID); err == nil {
			t.Errorf("byte %d was changed", i)
		}
		sealed[i] ^= 1
	}
}

func TestTokenThatCannotBeStored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v, err := newVault(store{&certmagic.FileStorage{Path: dir}}, "{env.ACCOUNT_TEST_KEY}")
	if err != nil {
		t.Fatal(err)
	}
	old := stored{Token: igToken}
	if err := v.replace(t.Context(), accountID, old); err != nil {
		t.Fatal(err)
	}
	// A directory in the way of the copy aside.
	if err := os.MkdirAll(dir+"/"+tokenKey(accountID)+".new/x", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := v.replace(t.Context(), accountID, stored{Token: "new"}); err == nil {
		t.Error("it was stored")
	}
	if got, err := v.load(t.Context(), accountID); err != nil || got != old {
		t.Errorf("the old one is %+v, %v", got, err)
	}
}

func TestWeakKeys(t *testing.T) {
	for value, want := range map[string]string{
		"":                                  "empty",
		"short":                             "too weak",
		strings.Repeat("abcdefg", 10):       "too weak",
		`"` + key + `"`:                     "quotes",
		strings.Repeat("•", 40):             "masked",
		"0123456789abcdef0123456789abcde":   "too weak",
		"0123456789abcdef0123456789abcdef":  "",
		"c2VjcmV0IGtleSBvZiAzMiByYW5kb20h=": "",
	} {
		t.Setenv("ACCOUNT_TEST_WEAK_KEY", value)
		_, err := newVault(store{}, "{env.ACCOUNT_TEST_WEAK_KEY}")
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: got %v, want %q", value, err, want)
		case err != nil && len(value) > 5 && strings.Contains(err.Error(), value):
			t.Errorf("the error repeats the key: %v", err)
		}
	}
	if _, err := newVault(store{}, key); err == nil || strings.Contains(err.Error(), key) {
		t.Errorf("a key in the config: %v", err)
	}
}

// TestRenewalThatReturnsTheSameToken has Meta only put off the end.
func TestRenewalThatReturnsTheSameToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.every = 20 * time.Minute
		f.meta.Change(func(s *graphtest.State) { s.Tokens[0].Lasting = true })
		g := f.start(true, f.account(managed))
		defer end(g)
		synctest.Wait()
		if err := g.Import(t.Context(), accountID, igToken); err != nil {
			t.Fatal(err)
		}
		wait(80 * day)
		equal(t, "told", f.told(), nil)
		if n := f.asked("GET", "/refresh_access_token"); n < 80/7 || n > 80/7+1 {
			t.Errorf("renewed %d times in 80 days", n)
		}
		if s := g.status(t); s.Token.State != tokenValid || s.ToDo != "" {
			t.Errorf("%+v", s)
		}
	})
}

// TestStorageFailsInTwoRenewals has a storage leave half of a token in both of its places, one
// after the other.
func TestStorageFailsInTwoRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.every = 20 * time.Minute
		storage := &flaky{Storage: f.storage}
		f.storage = storage
		g := f.start(true, f.account(managed))
		defer end(g)
		synctest.Wait()
		if err := g.Import(t.Context(), accountID, igToken); err != nil {
			t.Fatal(err)
		}
		for _, place := range []string{tokenKey(accountID), asideKey(accountID)} {
			before := f.asked("GET", "/refresh_access_token")
			storage.failing(func(key string) (fails, half bool) { return key == place, true })
			wait(9 * day)
			if f.asked("GET", "/refresh_access_token") == before {
				t.Error("it was not to be renewed")
			}
		}
		storage.failing(nil)
		wait(9 * day)
		equal(t, "told", f.told(), nil)
		if s := g.status(t); s.Token.State != tokenValid || s.ToDo != "" {
			t.Errorf("%+v", s)
		}
	})
}
