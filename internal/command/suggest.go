package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/suggest"
)

// maxName is longer than the name of any field, in bytes, and shorter than an
// access token.
const maxName = 64

// names returns the names of a flag's list, sorted, each once.
func names(given []string) ([]string, error) {
	var all []string
	for _, name := range given {
		name = strings.TrimSpace(name)
		if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool {
			return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
		}) {
			// It is not repeated: it may be a secret in the wrong place.
			return nil, errors.New("--fields needs names of letters, digits and underscores, with commas in between")
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// complain says what is wrong with the name of a field, or "".
func complain(name string) string {
	f, known := event.FieldByName(name)
	switch {
	case !known:
		return fmt.Sprintf("%s is not a field of Instagram's webhooks; the nearest are %s", name, nearest(graph.InstagramLogin, name))
	case f.Refused:
		return fmt.Sprintf("%s is refused by Meta, although documented (%s); the nearest are %s", name, f.About, nearest(graph.InstagramLogin, name))
	}
	return ""
}

// nearest returns the two names of a login's fields that are most like a name.
func nearest(login graph.Login, name string) string {
	return strings.Join(suggest.Nearest(strings.ToLower(name), login.Fields(), 2), " and ")
}

// difference is what a change of fields does.
type difference struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Kept    []string `json:"kept"`
}

func compare(before, after []string) difference {
	d := difference{[]string{}, []string{}, []string{}}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(before, after)))) {
		switch was, is := slices.Contains(before, name), slices.Contains(after, name); {
		case was && is:
			d.Kept = append(d.Kept, name)
		case is:
			d.Added = append(d.Added, name)
		default:
			d.Removed = append(d.Removed, name)
		}
	}
	return d
}

func (d difference) none() bool { return len(d.Added) == 0 && len(d.Removed) == 0 }

func (d difference) text(c *console) {
	for _, name := range d.Added {
		c.printf("%s\n", c.paint(green, "  + "+name))
	}
	for _, name := range d.Removed {
		c.printf("%s\n", c.paint(red, "  - "+name))
	}
	for _, name := range d.Kept {
		c.printf("    %s\n", name)
	}
}
