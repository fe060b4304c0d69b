package account

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/metrics"
	"github.com/caddy-instagram/webhooks/internal/running"
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
	ctx    context.Context // from Start to Stop
	cancel context.CancelFunc
	done   sync.WaitGroup
	known  atomic.Pointer[state] // at the last round

	asking  sync.Mutex
	inquiry *inquiry // under way; nil: none
}

var (
	services running.Newest[*Service]
	begun    atomic.Bool // a service was started in this process
)

// Running returns the service of the running config, or nil if it has no accounts.
func Running() *Service { return services.Get() }

// New returns a service, without starting it. It resolves all secrets.
func New(ctx caddy.Context, c Config) (*Service, error) {
	s := &Service{
		id: rand.Text(), accounts: c.Accounts, store: store{ctx.Storage()}, feed: live.Shared, refusing: c.Refusing, alert: c.Alert,
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
	services.Start(s)
	return nil
}

func (s *Service) start() {
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.started = time.Now()
	s.done.Go(func() { s.run(s.ctx) })
}

// Stop implements app.Service. It waits for a call under way no longer than that takes to
// be cut short.
func (s *Service) Stop() error {
	services.Stop(s)
	s.asking.Lock() // no inquiry begins after this
	s.cancel()
	s.asking.Unlock()
	s.done.Wait()
	return nil
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
