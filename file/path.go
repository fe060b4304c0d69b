package file

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/event"
)

// path is where events are written. Its placeholders are replaced for each
// event, unless it has none.
type path struct {
	template string
	fixed    bool
}

// newPath resolves the placeholders that are the same for all events, such as
// {env.*}, and checks that the others are known.
func newPath(template string) (path, error) {
	if template == "" {
		return path{}, errors.New("a path is needed")
	}
	fixed := true
	repl := caddy.NewReplacer()
	repl.Map(func(key string) (any, bool) {
		name, found := strings.CutPrefix(key, "instagram.")
		if !found {
			return nil, false
		}
		_, known := new(event.Event).Placeholder(name)
		return "{" + key + "}", known
	})
	resolved, err := repl.ReplaceFunc(template, func(key string, value any) (any, error) {
		switch {
		case value == nil:
			return nil, fmt.Errorf("the placeholder {%s} is unknown here, or resolves to nothing", key)
		case perEvent(key):
			fixed = false
			return "{" + key + "}", nil
		case caddy.ToString(value) == "":
			return nil, fmt.Errorf("the placeholder {%s} resolves to nothing", key)
		}
		return value, nil
	})
	if err != nil {
		return path{}, err
	}
	absolute, err := filepath.Abs(resolved)
	return path{absolute, fixed}, err
}

// perEvent reports whether a placeholder changes from event to event.
func perEvent(key string) bool {
	return strings.HasPrefix(key, "instagram.") || strings.HasPrefix(key, "time.")
}

// of returns the path for e.
func (p path) of(e *event.Event) string {
	if p.fixed {
		return p.template
	}
	repl := caddy.NewReplacer()
	repl.Map(func(key string) (any, bool) {
		name, found := strings.CutPrefix(key, "instagram.")
		if !found {
			return nil, false
		}
		return e.Placeholder(name)
	})
	// The function returns no error, so there is none.
	replaced, _ := repl.ReplaceFunc(p.template, func(_ string, value any) (any, error) {
		return safe(caddy.ToString(value)), nil
	})
	return replaced
}

// maxValue is the longest value of a placeholder in a path, in bytes.
const maxValue = 64

// safe reduces a value to an alphabet that can neither leave a directory nor
// hide a file, on any system.
func safe(value string) string {
	if value == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}, value[:min(len(value), maxValue)])
}
