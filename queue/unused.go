package queue

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/app"
)

// unusedStores are the stores that a config of this process has left with events
// that are not delivered, because the path was changed or the block removed, and
// that none uses now. They are warned of until one does.
type unusedStores struct {
	logger func() *zap.Logger

	mu     sync.Mutex
	timers map[string]*time.Timer
}

// unused are those of this process. The logs of the config that used a store have
// ended, so they are told to the current ones.
var unused = &unusedStores{logger: func() *zap.Logger { return caddy.Log().Named("http.handlers.instagram_queue") }}

// remindFirst and remindMax bound the time between two warnings, which doubles.
const (
	remindFirst = 5 * time.Minute
	remindMax   = time.Hour
)

// add begins to warn of a store.
func (u *unusedStores) add(name string, pending int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.timers == nil {
		u.timers = make(map[string]*time.Timer)
	}
	if u.timers[name] == nil {
		u.warn(name, pending, remindFirst)
	}
}

// warn writes a warning and sees to the next one. The caller holds mu.
func (u *unusedStores) warn(name string, pending int64, again time.Duration) {
	u.logger().Warn("no instagram_queue uses this store any more, and its events are not delivered: use it again until it is empty, or see 'caddy instagram queue --help' for what to do with its file",
		zap.String("store", name), zap.Int64("pending", pending))
	var timer *time.Timer
	timer = time.AfterFunc(again, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		switch {
		case u.timers[name] != timer: // used again meanwhile
		case isGone(name):
			delete(u.timers, name)
		default:
			u.warn(name, pending, min(2*again, remindMax))
		}
	})
	u.timers[name] = timer
}

// isGone reports whether the name is that of a file that was removed.
func isGone(name string) bool {
	_, err := os.Stat(name)
	return filepath.IsAbs(name) && errors.Is(err, fs.ErrNotExist)
}

// remove ends the warnings of a store: it is used again.
func (u *unusedStores) remove(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if timer := u.timers[name]; timer != nil {
		timer.Stop()
		delete(u.timers, name)
	}
}

// has reports whether a store is warned of.
func (u *unusedStores) has(name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.timers[name] != nil
}

// left warns of a store that is about to be closed with pending events. When the
// process ends that is as it should be.
func (u *unusedStores) left(o *SharedStore) {
	if caddy.Exiting() || slices.ContainsFunc(Stores(), func(other *SharedStore) bool { return other.name == o.name && other.unusable() == 0 }) {
		return
	}
	all, err := o.stats()
	if errors.Is(err, context.DeadlineExceeded) {
		u.logger().Warn("no instagram_queue uses this store any more, and whether events wait in it is not known: it does not answer",
			zap.String("store", o.name))
	}
	var pending int64
	for _, stats := range all {
		pending += stats.Pending
	}
	if err == nil && pending > 0 {
		u.add(o.name, pending)
	}
}

// uses reports whether a queue of a config uses the store with this name, or the
// store was left by another config of this process, which is warned of or about
// to be.
func uses(config *app.App, name string) bool {
	for _, service := range config.Services() {
		if q, ok := service.(*runner); ok && q.opener.Name() == name {
			return true
		}
	}
	for _, o := range Stores() {
		if o.name == name {
			return true
		}
	}
	return unused.has(name)
}
