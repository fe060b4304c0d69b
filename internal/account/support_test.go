package account

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/time/rate"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
	"github.com/caddy-instagram/webhooks/internal/live"
)

const (
	appID     = "1234567890"
	appSecret = "0123456789abcdef0123456789abcdef"
	accountID = "17841400000000001"
	pageID    = "100000000000001"
	igToken   = "IGAA-s3cr3t-instagram"
	pageToken = "EAAB-s3cr3t-page"
	sysToken  = "EAAU-s3cr3t-system-user"
	key       = "mY9q-Zt3pW8xL2vB6nR4kD7sF1gH5jC0"
	callback  = "https://hooks.example.com/webhooks"
)

// fixture is a storage, a Graph API and the gateways that use both. Time is that of
// synctest.
type fixture struct {
	t       *testing.T
	meta    *graphtest.Server
	dir     string
	storage certmagic.Storage
	file    string // with a token
	logs    *observer.ObservedLogs
	logger  *zap.Logger
	limiter *rate.Limiter
	every   time.Duration // rounds

	mu        sync.Mutex
	alerts    []alert.Alert
	lasting   map[string]string // what was told last of a kind, by account
	reminders int               // how often that was told again
	refusing  bool
}

func newFixture(t *testing.T) *fixture {
	dir := t.TempDir()
	f := &fixture{t: t, dir: dir, storage: &certmagic.FileStorage{Path: dir}, file: filepath.Join(t.TempDir(), "token"), limiter: rate.NewLimiter(1, 1), every: time.Minute, lasting: make(map[string]string)}
	fields := []string{"comments", "messages", "mentions"}
	f.meta = graphtest.New(graphtest.State{
		Apps: []*graphtest.App{{ID: appID, Secret: appSecret, Callbacks: []*graphtest.Callback{
			{Object: "instagram", URL: callback, Fields: fields, Values: true},
			{Object: "page", URL: callback, Fields: []string{"feed", "messages"}, Values: true},
		}}},
		Accounts: []*graphtest.Account{
			{ID: accountID, Name: "gardens", Subscribed: map[string][]string{appID: {"comments", "messages"}}},
			{ID: pageID, Name: "Gardens", Linked: accountID, Subscribed: map[string][]string{appID: {"messages"}}},
		},
		Tokens: []*graphtest.Token{
			{Value: igToken, App: appID, Account: accountID},
			{Value: pageToken, App: appID, Account: pageID, Facebook: true},
			{Value: sysToken, App: appID, Account: accountID, Unified: true},
		},
	})
	core, logs := observer.New(zap.InfoLevel)
	f.logs, f.logger = logs, zap.New(core)
	f.writeToken(igToken)
	t.Cleanup(f.noSecret)
	return f
}

// writeToken writes the file of the token, now.
func (f *fixture) writeToken(token string) {
	f.t.Helper()
	if err := os.WriteFile(f.file, []byte(token+"\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Chtimes(f.file, time.Now(), time.Now()); err != nil {
		f.t.Fatal(err)
	}
}

// account is an account with the token in the file, which may be silent for long.
func (f *fixture) account(change func(*Account)) *Account {
	a := &Account{ID: accountID, Token: "{file." + f.file + "}", Fields: []string{"comments", "messages"}, Silence: caddy.Duration(1000 * day)}
	if change != nil {
		change(a)
	}
	return a
}

// gateway is a service with a feed of its own.
type gateway struct {
	*Service
	events *live.Feed
}

// start starts a gateway, as a process of its own if restarted.
func (f *fixture) start(restarted bool, accounts ...*Account) *gateway {
	f.t.Helper()
	feed := live.New()
	vault, err := newVault(store{f.storage}, "{env.ACCOUNT_TEST_KEY}")
	if err != nil {
		f.t.Fatal(err)
	}
	s := &Service{
		id: rand.Text(), accounts: accounts, store: store{f.storage}, vault: vault, feed: feed, refusing: f.isRefusing, alert: f.raise, logger: f.logger,
		limiter: f.limiter, transport: f.meta.Client().Transport, restarted: restarted, wake: make(chan struct{}, 1), every: f.every,
	}
	for _, a := range accounts {
		if err := a.Validate(); err != nil {
			f.t.Fatal(err)
		}
		if err := a.provision(); err != nil {
			f.t.Fatal(err)
		}
	}
	s.start()
	return &gateway{s, feed}
}

// event lets an event come.
func (g *gateway) event() { g.events.Came(time.Now(), accountID, "messages") }

func (f *fixture) isRefusing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refusing
}

func (f *fixture) refuse(refusing bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusing = refusing
}

func (f *fixture) raise(a alert.Alert) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alerts = append(f.alerts, a)
}

// told returns the alerts since the last call, as text. What was told before is counted.
func (f *fixture) told() (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.alerts {
		kind := string(cmp.Or(a.Of, a.Kind)) + a.Cause
		text := fmt.Sprintf("%s %s %s", cmp.Or(a.Of, a.Kind), map[bool]string{true: "over: "}[a.Kind == alert.Recovered]+fmt.Sprint(a.Data["reason"]), a.Cause)
		if f.lasting[kind] == text {
			f.reminders++
			continue
		}
		f.lasting[kind] = text
		all = append(all, text)
	}
	f.alerts = nil
	return all
}

// asked returns how often a path was asked with a method.
func (f *fixture) asked(method, path string) (n int) {
	for _, r := range f.meta.Requests() {
		if r.Method == method && strings.HasSuffix(r.Path, path) {
			n++
		}
	}
	return n
}

// status returns how the only account is doing.
func (g *gateway) status(t *testing.T) Status {
	t.Helper()
	all, err := g.Statuses(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// wait lets time pass, and all that is to be done be done.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// lose lets the account lose its subscription.
func (f *fixture) lose(fields ...string) {
	f.meta.Change(func(s *graphtest.State) { s.Accounts[0].Subscribed[appID] = fields })
}

func (f *fixture) subscribed() []string { return f.meta.State().Accounts[0].Subscribed[appID] }

// noSecret fails if a secret is in what was written, logged or told.
func (f *fixture) noSecret() {
	all := map[string]string{}
	for _, entry := range f.logs.All() {
		all["the logs"] += fmt.Sprintln(entry.Message, entry.ContextMap())
	}
	f.mu.Lock()
	all["the alerts"] = fmt.Sprint(f.alerts)
	f.mu.Unlock()
	_ = filepath.WalkDir(f.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			text, _ := os.ReadFile(path)
			all[path] = string(text)
		}
		return nil
	})
	for where, text := range all {
		for _, secret := range []string{"s3cr3t", appSecret, key} {
			if strings.Contains(text, secret) {
				f.t.Errorf("a secret is in %s: %s", where, text)
			}
		}
	}
}

// flaky is a storage that fails to write what it is told to, and may leave half of it.
type flaky struct {
	certmagic.Storage
	mu   sync.Mutex
	fail func(key string) (fails, half bool)
}

func (s *flaky) Store(ctx context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if fails, half := s.fail(key); fails {
			if half {
				_ = s.Storage.Store(ctx, key, value[:len(value)/2])
			}
			return errors.New("the disk is full")
		}
	}
	return s.Storage.Store(ctx, key, value)
}

// failing has these writes fail from now on.
func (s *flaky) failing(fail func(key string) (fails, half bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// end stops gateways, and waits for what the storage does behind them.
func end(gateways ...*gateway) {
	for _, g := range gateways {
		_ = g.Stop()
	}
	time.Sleep(time.Minute)
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestMain(m *testing.M) {
	os.Setenv("ACCOUNT_TEST_KEY", key)
	os.Setenv("ACCOUNT_TEST_APP_SECRET", appSecret)
	m.Run()
}
