package queue

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// stores holds the stores that are open in this process. They outlive configs:
// at a reload, the new config takes over what the old one has open.
var stores = caddy.NewUsagePool()

// Open is a store that is open in this process. It knows since when the store
// refuses deliveries.
type Open struct {
	Store
	name   string
	logger *zap.Logger

	mu       sync.Mutex
	since    time.Time // refusing; zero: accepting
	warnings []*time.Timer
}

func open(opener Opener, logger *zap.Logger) (*Open, error) {
	name := opener.Name()
	o, _, err := stores.LoadOrNew(name, func() (caddy.Destructor, error) {
		store, err := opener.Open(logger)
		if err != nil {
			return nil, err
		}
		return &Open{Store: store, name: name, logger: logger}, nil
	})
	if err != nil {
		return nil, err
	}
	return o.(*Open), nil
}

// Stores returns the stores that are open in this process, by name.
func Stores() []*Open {
	var all []*Open
	stores.Range(func(_, value any) bool {
		if o, ok := value.(*Open); ok {
			all = append(all, o)
		}
		return true
	})
	slices.SortFunc(all, func(a, b *Open) int { return strings.Compare(a.name, b.name) })
	return all
}

// Name returns the name of the store, such as the path of its file.
func (o *Open) Name() string { return o.name }

func (o *Open) release() error {
	_, err := stores.Delete(o.name)
	return err
}

// Destruct closes the store. It implements caddy.Destructor.
func (o *Open) Destruct() error {
	o.accepted()
	return o.Close()
}

// Accept stores the events of a delivery, and keeps track of refusals.
func (o *Open) Accept(ctx context.Context, records []Record, admission Admission) ([]bool, error) {
	duplicates, err := o.Store.Accept(ctx, records, admission)
	if err != nil {
		o.refused(err)
	} else {
		o.accepted()
	}
	return duplicates, err
}

// RefusingSince returns when the store began to refuse all deliveries, or the
// zero time while it accepts them.
func (o *Open) RefusingSince() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since
}

// warnAfter is when a store that refuses is complained about. Meta's alert comes
// after 15 minutes of failure, and the end of the subscription after an hour.
// See Meta's "Instagram Messaging › Webhooks".
var warnAfter = []time.Duration{5 * time.Minute, 12 * time.Minute}

func (o *Open) refused(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		return
	}
	o.since = time.Now()
	o.logger.Error("refusing deliveries: they cannot be stored", zap.String("store", o.name), zap.Error(err))
	for _, after := range warnAfter {
		o.warnings = append(o.warnings, time.AfterFunc(after, func() {
			o.logger.Error("still refusing deliveries: Meta alerts after 15 minutes and ends the subscription to messages after an hour",
				zap.String("store", o.name), zap.Duration("for", after), zap.NamedError("first_error", err))
		}))
	}
}

func (o *Open) accepted() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	for _, timer := range o.warnings {
		timer.Stop()
	}
	o.logger.Info("accepting deliveries again", zap.String("store", o.name), zap.Duration("refused_for", time.Since(o.since)))
	o.since, o.warnings = time.Time{}, nil
}
