// Package running tells which config that runs is the newest. While one is loaded there are
// two of them, and if that fails, the older one goes on.
package running

import (
	"slices"
	"sync"
)

// Newest holds something of each config that runs. The zero Newest is ready for use.
type Newest[T comparable] struct {
	mu  sync.RWMutex
	all []T // the newest last
}

// Start adds what a config has that starts.
func (n *Newest[T]) Start(v T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, v)
}

// Stop removes what a config had that ends. It does nothing for one that did not start.
func (n *Newest[T]) Stop(v T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = slices.DeleteFunc(n.all, func(other T) bool { return other == v })
}

// Get returns what the newest config has, or the zero value if none runs.
func (n *Newest[T]) Get() (newest T) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if len(n.all) > 0 {
		newest = n.all[len(n.all)-1]
	}
	return newest
}
