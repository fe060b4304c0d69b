package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/outage"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// stores holds the stores that are open in this process. They outlive configs:
// at a reload, the new config takes over what the old one has open.
var stores = caddy.NewUsagePool()

// Variant is an Opener of a store that can be open more than once. A config that changes its
// options, such as a password, opens it anew; the old config goes on with what it has open.
type Variant interface {
	Opener

	// Options returns the options, to be compared.
	Options() any
}

// storeKey tells apart what is open in stores.
type storeKey struct {
	name    string
	options any // of a Variant
}

func keyOf(opener Opener) storeKey {
	key := storeKey{name: opener.Name()}
	if v, ok := opener.(Variant); ok {
		key.options = v.Options()
	}
	return key
}

// SharedStore is a store that is open in this process. It knows since when the store
// refuses deliveries.
type SharedStore struct {
	queue.Store
	key      any // in stores
	name     string
	opened   time.Time
	refusing outage.Outage

	mu      sync.Mutex
	loggers []*zap.Logger // of the configs that use it, the newest last
	refusal error         // the last one

	joining    sync.Mutex   // held while it changes who the consumers are
	accepting  sync.RWMutex // read-locked while something is accepted
	running    []*runner    // that deliver, the newest last
	others     []queue.Gateway
	recipients recipients // of what is accepted
}

func open(opener Opener, logger *zap.Logger) (*SharedStore, error) {
	name, key := opener.Name(), keyOf(opener)
	value, loaded, err := stores.LoadOrNew(key, func() (_ caddy.Destructor, err error) {
		o := &SharedStore{key: key, name: name, opened: time.Now(), loggers: []*zap.Logger{logger}}
		o.Store, err = opener.Open(o.log)
		return o, err
	})
	if errors.Is(err, queue.ErrVersion) || errors.Is(err, queue.ErrMigration) {
		return openUnusable(name, logger, err), nil
	}
	if err != nil {
		return nil, err
	}
	unused.remove(name)
	o := value.(*SharedStore)
	if loaded {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.loggers = append(o.loggers, logger)
	} else {
		o.takeOver()
	}
	return o, nil
}

// takeOver has the store continue, if it refuses deliveries, since when the one with the same
// name does that the old config uses: Meta does not know of configs.
func (o *SharedStore) takeOver() {
	for _, old := range openStores() {
		if since := old.RefusingSince(); old != o && old.name == o.name && !since.IsZero() {
			o.refusing.Continue(since)
		}
	}
}

// openStores returns all stores that are open in this process.
func openStores() (all []*SharedStore) {
	stores.Range(func(_, value any) bool {
		if o, ok := value.(*SharedStore); ok {
			all = append(all, o)
		}
		return true
	})
	return all
}

// Stores returns the stores that are open in this process, by name. Of two with one name, as
// there are during a reload if one of them cannot be read or has other options, it returns
// the usable one, and of these the newest.
func Stores() []*SharedStore {
	all := openStores()
	slices.SortFunc(all, func(a, b *SharedStore) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.unusable(), b.unusable()), b.opened.Compare(a.opened))
	})
	return slices.CompactFunc(all, func(a, b *SharedStore) bool { return a.name == b.name })
}

// Name returns the name of the store, such as the path of its file.
func (o *SharedStore) Name() string { return o.name }

// release ends the use by the config with this logger.
func (o *SharedStore) release(logger *zap.Logger) error {
	o.mu.Lock()
	if len(o.loggers) > 1 { // else it is about to be closed
		o.loggers = slices.DeleteFunc(o.loggers, func(l *zap.Logger) bool { return l == logger })
	}
	o.mu.Unlock()
	_, err := stores.Delete(o.key)
	return err
}

// logger returns where to log to. The logs of a config end with it. The caller
// holds mu.
func (o *SharedStore) logger() *zap.Logger { return o.loggers[len(o.loggers)-1] }

// log is logger for the store.
func (o *SharedStore) log() *zap.Logger {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.logger()
}

// Destruct closes the store. It implements caddy.Destructor.
func (o *SharedStore) Destruct() error {
	o.refusing.Stop()
	unused.left(o)
	return o.Close()
}

// Accept stores the events of a delivery, and keeps track of refusals.
func (o *SharedStore) Accept(ctx context.Context, records []queue.Record, admission queue.Admission) ([]bool, error) {
	duplicates, err := o.Store.Accept(ctx, records, admission)
	switch {
	case err == nil:
		o.accepted()
	case ctx.Err() == nil && !isStale(err): // else it says nothing of the store
		o.refused(err)
		err = outage.Reported{Err: err}
	}
	return duplicates, err
}

// isStale reports whether an error is of what this gateway knows, and not of the store.
func isStale(err error) bool {
	return errors.Is(err, queue.ErrClosed) || errors.Is(err, queue.ErrOutdated) || errors.Is(err, queue.ErrNoConsumer)
}

// Lease leases events for a consumer that has joined. One that is no longer there joins again.
func (o *SharedStore) Lease(ctx context.Context, consumer string, limit int) (events []*queue.Event, valid context.Context, err error) {
	for range maxLearning {
		generation := o.generation()
		if events, valid, err = o.Store.Lease(ctx, consumer, limit); !errors.Is(err, queue.ErrNoConsumer) || !slices.Contains(o.Consumers(), consumer) {
			return events, valid, err
		}
		if err := o.rejoin(ctx, generation, err); err != nil {
			return nil, nil, err
		}
	}
	return events, valid, err
}

// statsTimeout is how long others wait for what a store says of itself: the start of a config,
// its end, and metrics.
const statsTimeout = 3 * time.Second

// stats is Stats with a timeout: a database may not answer.
func (o *SharedStore) stats() ([]queue.Stats, error) {
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	return o.Stats(ctx)
}

// RefusingSince returns when the store began to refuse all deliveries, or the
// zero time while it accepts them.
func (o *SharedStore) RefusingSince() time.Time { return o.refusing.Since() }

// Refusal returns why the store refuses deliveries, or nil while it accepts them.
func (o *SharedStore) Refusal() error {
	if o.RefusingSince().IsZero() {
		if sharer, ok := o.Store.(queue.Sharer); ok {
			return sharer.Refuses()
		}
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refusal
}

func (o *SharedStore) refused(err error) {
	o.mu.Lock()
	o.refusal = err
	o.mu.Unlock()
	o.refusing.Fail(func() {
		o.log().Error("refusing deliveries: they cannot be stored", zap.String("store", o.name), zap.Error(err))
	}, func(lasted time.Duration) { o.stillRefusing(lasted, err) })
}

// stillRefusing tells that the store has refused all deliveries for so long.
func (o *SharedStore) stillRefusing(lasted time.Duration, err error) {
	o.log().Error("still refusing deliveries: "+outage.Consequence,
		zap.String("store", o.name), zap.Duration("for", lasted), zap.NamedError("first_error", err))
	o.alertRefusing(lasted, err)
}

func (o *SharedStore) accepted() {
	o.refusing.Recover(func(lasted time.Duration) {
		o.log().Info("accepting deliveries again", zap.String("store", o.name), zap.Duration("refused_for", lasted))
		alert.Shared.Raise(alert.Alert{
			Kind: alert.Recovered, Of: alert.Refusing, Cause: o.name, Data: map[string]any{"store": o.name},
			Text: fmt.Sprintf("The queue accepts deliveries again, after %s.", lasted.Round(time.Second)),
		})
	})
}
