package file

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/event"
)

// path is where events are written: texts, and between them placeholders that are
// resolved for each event.
type path struct {
	texts []string
	keys  []string // one less than texts
}

// delimiter stands around the placeholders of an event while the others are
// resolved. No file name can contain it.
const delimiter = "\x00"

// newPath resolves the placeholders that are the same for all events, such as
// {env.*}, and checks that the others are known.
func newPath(template string) (path, error) {
	if template == "" {
		return path{}, errors.New("a path is needed")
	}
	resolved, err := replacer(new(event.Event)).ReplaceFunc(template, func(key string, value any) (any, error) {
		switch {
		case perEvent(key) && value != nil:
			return delimiter + key + delimiter, nil
		case value == nil || caddy.ToString(value) == "":
			return nil, fmt.Errorf("the placeholder {%s} is unknown here, or resolves to nothing", key)
		}
		return value, nil
	})
	if err != nil {
		return path{}, err
	}
	if resolved, err = filepath.Abs(resolved); err != nil {
		return path{}, err
	}
	var p path
	for i, part := range strings.Split(resolved, delimiter) {
		if i%2 == 0 {
			p.texts = append(p.texts, part)
		} else {
			p.keys = append(p.keys, part)
		}
	}
	return p, nil
}

// replacer returns one that knows the placeholders of e.
func replacer(e *event.Event) *caddy.Replacer {
	repl := caddy.NewReplacer()
	repl.Map(func(key string) (any, bool) {
		name, found := strings.CutPrefix(key, "instagram.")
		if !found {
			return nil, false
		}
		return e.Placeholder(name)
	})
	return repl
}

// perEvent reports whether a placeholder changes from event to event.
func perEvent(key string) bool {
	return strings.HasPrefix(key, "instagram.") || strings.HasPrefix(key, "time.")
}

// of returns the path for e.
func (p path) of(e *event.Event) string {
	if len(p.keys) == 0 {
		return p.texts[0]
	}
	repl := replacer(e)
	var b strings.Builder
	for i, text := range p.texts {
		b.WriteString(text)
		if i < len(p.keys) {
			value, _ := repl.GetString(p.keys[i])
			b.WriteString(safeName(value))
		}
	}
	return b.String()
}

// maxValue is the longest value of a placeholder in a path, in bytes.
const maxValue = 64

// safeName reduces a value to characters that can neither leave a directory nor
// hide a file, on any system.
func safeName(value string) string {
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
