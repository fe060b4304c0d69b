package queue

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// settings returns the options as they were configured, as the values of JSON.
func (h *Handler) settings() (values any, err error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(text, &values)
	return values, err
}

// sameSettings compares the settings of two handlers. The Caddyfile adapter numbers the groups of routes through all
// sites, so the same routes have other numbers in each site: what counts is which routes share a group.
func sameSettings(a, b any) bool {
	return groupPairs{make(map[string]string), make(map[string]string)}.equal(a, b)
}

// groupPairs holds which group of the first handler is which of the second, and the reverse.
type groupPairs struct{ first, second map[string]string }

func (g groupPairs) equal(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, g.equal)
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, value := range a {
			other, ok := b[key]
			if key == "group" && isNumbered(value) && isNumbered(other) {
				ok = g.pair(value.(string), other.(string))
			} else {
				ok = ok && g.equal(value, other)
			}
			if !ok {
				return false
			}
		}
		return true
	}
	return a == b
}

// isNumbered reports whether a group has a name such as group7, given by the Caddyfile adapter.
func isNumbered(group any) bool {
	name, _ := group.(string)
	number, ok := strings.CutPrefix(name, "group")
	_, err := strconv.ParseUint(number, 10, 64)
	return ok && err == nil
}

// pair reports whether a and b stand for each other, from the first time that they are compared.
func (g groupPairs) pair(a, b string) bool {
	first, known := g.first[a]
	second, knownToo := g.second[b]
	if !known && !knownToo {
		g.first[a], g.second[b] = b, a
		return true
	}
	return first == b && second == a
}
