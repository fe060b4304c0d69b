package account

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/metrics"
)

// Config is what is configured of all accounts.
type Config struct {
	Accounts []*Account
	TokenKey string // a placeholder; needed for managed tokens

	// Refusing reports whether this gateway refuses deliveries just now.
	Refusing func() bool

	// Alert tells the operator of something.
	Alert func(alert.Alert)
}

// Service looks after accounts as long as a config runs. Between a reload's start and
// stop there are two of them, as with two gateways.
type Service struct {
	id       string // of this service, among all gateways
	accounts []*Account
	store    store
	vault    *vault // nil: there is no key
	feed     *live.Feed
	refusing func() bool
	alert    func(alert.Alert)
	logger   *zap.Logger

	limiter   *rate.Limiter
	transport http.RoundTripper

	restarted bool          // with the process, and not just with the config
	every     time.Duration // it is looked what is to be done

	// The loop's own.
	started time.Time
	met     bool // whether the records were compared with the config
	refused bool // at the last round

	wake   chan struct{}
	cancel context.CancelFunc
	done   sync.WaitGroup
	known  atomic.Pointer[state] // at the last round
}

// calls bounds the calls of this process: one a second.
var calls = rate.NewLimiter(rate.Every(time.Second), 1)

var (
	running atomic.Pointer[Service]
	begun   atomic.Bool // a service was started in this process
)

// Running returns the service of the running config, or nil if it has no accounts.
func Running() *Service { return running.Load() }

// New returns a service, without starting it. It resolves all secrets.
func New(ctx caddy.Context, c Config) (*Service, error) {
	s := &Service{
		id: cryptorand.Text(), accounts: c.Accounts, store: store{ctx.Storage()}, feed: live.Shared, refusing: c.Refusing, alert: c.Alert,
		logger: ctx.Logger(), limiter: calls, transport: http.DefaultTransport, wake: make(chan struct{}, 1), every: time.Minute,
	}
	var err error
	if c.TokenKey != "" {
		if s.vault, err = newVault(s.store, c.TokenKey); err != nil {
			return nil, err
		}
	}
	for i, a := range s.accounts {
		switch err := a.Validate(); {
		case err != nil:
			return nil, err
		case slices.ContainsFunc(s.accounts[:i], func(b *Account) bool { return a.ID == b.ID }):
			return nil, fmt.Errorf("account %s is given twice", a.ID)
		case a.managed() && s.vault == nil:
			return nil, fmt.Errorf("account %s: token managed needs a token_key beside the accounts, such as: token_key {env.IG_TOKEN_KEY}", a.ID)
		}
		if err := a.provision(); err != nil {
			return nil, err
		}
	}
	return s, metrics.Register(ctx.GetMetricsRegistry(), gauges{})
}

// Start implements app.Service.
func (s *Service) Start() error {
	s.restarted = !begun.Swap(true)
	for _, a := range s.accounts {
		if a.mode() == Repair && a.Callback == "" {
			s.logger.Info("whether the app's callback at Meta is this one is not looked at before a subscription is repaired: give it with 'app <id> <secret> <callback>'",
				zap.String("account", a.ID))
		}
	}
	s.start()
	running.Store(s)
	return nil
}

func (s *Service) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.started = cancel, time.Now()
	s.done.Go(func() { s.run(ctx) })
}

// Stop implements app.Service. It waits for a call under way no longer than that takes to
// be cut short.
func (s *Service) Stop() error {
	running.CompareAndSwap(s, nil)
	s.cancel()
	s.done.Wait()
	return nil
}

// afterStorageFailure keeps a storage that fails from making calls come again and again,
// as it remembers none.
const afterStorageFailure = 10 * time.Minute

// busyTooLong is how long another gateway may be at work before that is odd.
const busyTooLong = 15 * time.Minute

func (s *Service) run(ctx context.Context) {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	var busy time.Time
	for {
		select {
		case <-ctx.Done():
			s.remember()
			return
		case <-timer.C:
		case <-s.wake:
		}
		more, err := s.round(ctx)
		next := s.every
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, errBusy):
			next = afterRelease + rand.N(afterRelease)
			if busy.IsZero() {
				busy = time.Now()
			} else if time.Since(busy) > busyTooLong {
				s.logger.Warn("another gateway has been looking after the accounts for long, or its lock in Caddy's storage was left behind",
					zap.Time("since", busy), zap.String("lock", lockName))
				busy = time.Now()
			}
			timer.Reset(next)
			continue
		case err != nil:
			s.logger.Error("accounts are not looked after: Caddy's storage fails", zap.Error(err), zap.Duration("again_in", afterStorageFailure))
			next = afterStorageFailure
		case more:
			next = afterRelease
		}
		busy = time.Time{}
		timer.Reset(next)
	}
}

// round does what is to be done just now. It reports whether there is more.
func (s *Service) round(ctx context.Context) (more bool, err error) {
	st, err := s.load(ctx)
	if err != nil {
		return false, err
	}
	refusing := s.refusing()
	recovered := s.refused && !refusing
	note := func(st *state) []alert.Alert { return s.note(ctx, st, recovered, false) }
	before := st.encode()
	note(st)
	switch changed := !bytes.Equal(before, st.encode()); {
	case !changed && s.due(st) == nil:
	case st.leased():
		return false, errBusy
	case s.due(st) == nil:
		st, err = s.update(ctx, note)
	default:
		st, err = s.work(ctx, note)
	}
	if err != nil {
		return false, err
	}
	s.refused, s.met = refusing, true
	s.known.Store(st)
	return s.due(st) != nil, nil
}

// due returns an account that is to be checked now, or nil.
func (s *Service) due(st *state) *Account {
	now := time.Now()
	i := slices.IndexFunc(s.accounts, func(a *Account) bool { return st.of(a).due(now) && !now.Before(st.NotBefore) })
	if i < 0 {
		return nil
	}
	return s.accounts[i]
}

// work checks the accounts that are due, as many as there is time for.
func (s *Service) work(ctx context.Context, note func(*state) []alert.Alert) (st *state, err error) {
	err = s.store.locked(ctx, func() error {
		if st, err = s.load(ctx); err != nil {
			return err
		}
		if st.leased() {
			return errBusy
		}
		if st, err = s.claim(ctx, st); err != nil {
			return err
		}
		alerts := note(st)
		for began := time.Now(); time.Since(began) < maxWork; alerts = nil {
			a := s.due(st)
			if a == nil || ctx.Err() != nil {
				break
			}
			s.check(ctx, a, st)
			alerts = append(alerts, s.noteAlarms(a, st.of(a))...)
			if err := s.save(ctx, st, s.held(), alerts); err != nil {
				return err
			}
		}
		return s.save(ctx, st, released(), alerts)
	})
	return st, err
}

// load returns the state. What was known is lost if it is damaged, and learned again.
func (s *Service) load(ctx context.Context) (*state, error) {
	st, err := s.store.load(ctx)
	if errors.Is(err, errDamaged) {
		s.logger.Warn(err.Error() + ": it is learned again")
		return st, nil
	}
	return st, err
}

// tell logs an alert, and hands it on.
func (s *Service) tell(a alert.Alert) {
	log := s.logger.Warn
	if a.Kind == alert.Recovered {
		log = s.logger.Info
	}
	log(a.Text, zap.Any("about", a.Data))
	s.alert(a)
}

// note compares what is known with the config, the events that came, and the clock. It
// asks Meta nothing.
func (s *Service) note(ctx context.Context, st *state, recovered, last bool) (alerts []alert.Alert) {
	now := time.Now().UTC()
	came := make(map[string]time.Time)
	for _, a := range s.feed.Accounts() {
		came[a.Account] = a.Last
	}
	for _, a := range s.accounts {
		r := st.of(a)
		s.meet(a, r, now)
		for _, id := range []string{a.ID, r.Linked} {
			if at, found := came[id]; found {
				r.came(a, at, last)
			}
		}
		if recovered {
			r.checkSoon(now)
		}
		if r.Token.Dead != "" {
			s.revive(ctx, a, r, now)
		}
		if !last {
			alerts = append(alerts, s.noteAlarms(a, r)...)
		}
	}
	return alerts
}

// meet makes an account due whose config changed, and every one after the start of the
// process, unless it was checked just now.
func (s *Service) meet(a *Account, r *record, now time.Time) {
	if s.met {
		return
	}
	if hash := a.hash(); r.Config != hash {
		r.Config, r.NextCheck = hash, now
		if r.Token.Dead != "" {
			r.Token.Fingerprint = "" // it is tried once more
		}
		r.Subscription.Repairs = nil
	}
	if s.restarted {
		r.checkSoon(now)
	}
}

// revive looks whether there is another token in place of a dead one.
func (s *Service) revive(ctx context.Context, a *Account, r *record, now time.Time) {
	if t, err := s.token(ctx, a); err == nil && fingerprint(t.Token) != r.Token.Fingerprint {
		r.use(a, t)
		r.NextCheck = now
	}
}

// noteAlarms turns alarms on and off.
func (s *Service) noteAlarms(a *Account, r *record) []alert.Alert {
	now := time.Now().UTC()
	alerts := slices.Concat(r.noteToken(a, now), r.noteSubscription(a))
	// With Facebook Login events come under the id of the account that the Page is linked to.
	blind := a.login() == graph.FacebookLogin && r.Linked == "" && r.LastEvent.IsZero()
	if !blind && !s.refusing() && now.Sub(s.started) >= silenceGrace {
		alerts = append(alerts, r.noteSilence(a, now)...)
	}
	return alerts
}

// remember stores what came since the last round.
func (s *Service) remember() {
	ctx, cancel := context.WithTimeout(context.Background(), storageTimeout)
	defer cancel()
	st, err := s.load(ctx)
	if err != nil {
		return
	}
	note := func(st *state) []alert.Alert { return s.note(ctx, st, false, true) }
	before := st.encode()
	if note(st); !bytes.Equal(before, st.encode()) {
		_, err = s.update(ctx, note)
	}
	if err != nil {
		s.logger.Warn("when the last events of accounts came is not remembered", zap.Error(err))
	}
}

// Deauthorized records that the owner of an account took the app's rights away: until
// there is a new token, its subscription is not repaired. user is the account, or the id
// that the app alone knows it by. It reports whether there is such an account, and may
// wait for other gateways for more than a minute.
func (s *Service) Deauthorized(ctx context.Context, user string) (found bool, err error) {
	err = s.whenFree(ctx, func(st *state) []alert.Alert {
		for _, a := range s.accounts {
			r := st.of(a)
			if user != "" && (user == a.ID || user == r.Scoped || user == r.Linked) {
				r.Deauthorized, found = time.Now().UTC(), true
				r.checkSoon(r.Deauthorized)
			}
		}
		return nil
	})
	return found, err
}

// ErrNotManaged is wrapped by the error for an account whose token cannot be imported.
var ErrNotManaged = errors.New("the config has no account with this id and 'token managed'")

// Import makes a token that of an account, after Meta was asked whose it is. The account
// is checked at once.
func (s *Service) Import(ctx context.Context, id string, token graph.Secret) error {
	i := slices.IndexFunc(s.accounts, func(a *Account) bool { return a.ID == id && a.managed() })
	if i < 0 {
		return ErrNotManaged
	}
	a := s.accounts[i]
	client := a.client(token)
	client.HTTP = &http.Client{Timeout: 30 * time.Second, Transport: &spaced{s.limiter, s.transport, nil}}
	owner, err := client.Me(ctx)
	if err != nil {
		return err
	}
	if a.login() != graph.UnifiedLogin { // whose tokens do not tell
		if err := a.owns(owner); err != nil {
			return err
		}
	}
	failed := error(nil)
	err = s.whenFree(ctx, func(st *state) []alert.Alert {
		now := time.Now().UTC()
		t := stored{Token: string(token), Since: now}
		if failed = s.vault.replace(ctx, id, t); failed != nil {
			return nil
		}
		r := st.of(a)
		r.Token = tokenState{}
		r.use(a, t)
		r.NextCheck = now
		return nil
	})
	if err = errors.Join(failed, err); err == nil {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return err
}

// spaced makes requests no faster than its limiter allows, and none if before, if there
// is one, has an objection.
type spaced struct {
	limiter *rate.Limiter
	next    http.RoundTripper
	before  func() error
}

// RoundTrip implements http.RoundTripper.
func (t *spaced) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.before != nil {
		if err := t.before(); err != nil {
			return nil, err
		}
	}
	if err := t.limiter.Wait(r.Context()); err != nil {
		return nil, err
	}
	return t.next.RoundTrip(r)
}
