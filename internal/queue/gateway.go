package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Sharer is a Store that gateways in several processes share. Each should have the same
// settings. What one accepts is for the consumers of all, see Admission.Generation.
type Sharer interface {
	// Describe says what this gateway has. The others know it once Join has returned, or a
	// little later without a Join.
	Describe(settings map[string]string, recipients []Recipient)

	// Gateways returns those that are running, by name. The generation is another number
	// as soon as it is others, or one of them has other consumers.
	Gateways(ctx context.Context) (all []Gateway, generation int64, err error)

	// Refuses returns why deliveries would be refused just now, or nil.
	Refuses() error
}

// ErrOutdated is returned by Accept if the Generation of the Admission is over.
var ErrOutdated = errors.New("the gateways that share the queue have changed")

// Gateway is a process that uses a shared store, also as the admin API shows it.
type Gateway struct {
	Name string `json:"gateway"` // of the host; with a number if several have it
	This bool   `json:"this"`    // it is the one that is asked

	Since time.Time `json:"since"` // when it opened the store, in UTC
	Seen  time.Time `json:"seen"`  // when the store last heard of it, in UTC

	Program string `json:"program"` // its version
	Schema  int    `json:"schema"`  // the version of the store that it is made for

	Settings   map[string]string `json:"-"` // in words, by name
	Recipients []Recipient       `json:"-"` // at a reload, one for each config
}

// Recipient is a consumer of a Gateway, and what it wants.
type Recipient struct {
	Name     string   `json:"name"`
	Fields   []string `json:"fields,omitempty"`   // none: all
	Matching bool     `json:"matching,omitempty"` // only what a matcher of its config selects
}

// Differences returns what should be the same on all gateways and is not, in words.
func Differences(all []Gateway) (found []string) {
	options, consumers := make(map[string]map[string][]string), make(map[string][]string)
	for i := range all {
		g := &all[i]
		for name, value := range g.Settings {
			if options[name] == nil {
				options[name] = make(map[string][]string)
			}
			options[name][value] = append(options[name][value], g.Name)
		}
		for _, r := range g.Recipients {
			if !slices.Contains(consumers[r.Name], g.Name) {
				consumers[r.Name] = append(consumers[r.Name], g.Name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(consumers)) {
		if on := consumers[name]; len(on) < len(all) {
			found = append(found, fmt.Sprintf("the consumer %s is on %s only", name, strings.Join(on, ", ")))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if values := options[name]; len(values) > 1 {
			var each []string
			for _, value := range slices.Sorted(maps.Keys(values)) {
				each = append(each, fmt.Sprintf("%s on %s", value, strings.Join(values[value], ", ")))
			}
			found = append(found, fmt.Sprintf("%s is %s", name, strings.Join(each, "; ")))
		}
	}
	return found
}
