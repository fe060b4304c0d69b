package handler

import (
	"crypto/sha256"
	"fmt"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/secretcheck"
)

// doubts are what is odd about the tokens and secrets of a handler. They are
// logged, and no error: what Meta accepts is for Meta to say. They never hold any
// part of a value.
type doubts struct {
	found []doubt
	known map[[sha256.Size]byte]string // what a value was given as
}

// doubt is what is odd about one token or secret.
type doubt struct {
	text string
	what string // which token or secret
	from string // the placeholder that it comes from, or empty
	why  string
}

// verifyToken looks at the token with this index, which resolved to value.
func (d *doubts) verifyToken(i int, configured, value string) {
	what := fmt.Sprintf("verify_token %d", i+1)
	if problem := secretcheck.Mangled(value); problem != "" {
		d.add("a verify token was probably changed on its way into the config", what, configured, problem)
	}
	d.remember(what, value)
}

// appSecret looks at the app secret with this name, which resolved to value.
func (d *doubts) appSecret(name, configured, value string) {
	what := fmt.Sprintf("app_secret %q", name)
	if problem := secretcheck.Describe(value); problem != "" {
		d.add("an app secret does not look like one of Meta's, which are 32 hexadecimal digits: deliveries signed with the right one will be refused", what, configured, problem)
	}
	if other := d.remember(what, value); other != "" {
		d.add("one value is given twice", what, configured, "it is the same as "+other+": each app secret is a value of its own, and a verify token, which is sent in URLs, must be none of them")
	}
}

// remember returns what the value was given as before, or nothing.
func (d *doubts) remember(what, value string) string {
	if d.known == nil {
		d.known = make(map[[sha256.Size]byte]string)
	}
	hash := sha256.Sum256([]byte(value))
	other := d.known[hash]
	if other == "" {
		d.known[hash] = what
	}
	return other
}

func (d *doubts) add(text, what, configured, why string) {
	if !isSinglePlaceholder(configured) {
		configured = ""
	}
	d.found = append(d.found, doubt{text, what, configured, why})
}

// log writes a line for each doubt that no handler of this config has written yet.
func (d *doubts) log(logger *zap.Logger, config *app.App) {
	for _, f := range d.found {
		if !config.Once(fmt.Sprint(f)) {
			continue
		}
		fields := []zap.Field{zap.String("which", f.what)}
		if f.from != "" {
			fields = append(fields, zap.String("from", f.from))
		}
		logger.Warn(f.text, append(fields, zap.String("problem", f.why))...)
	}
}
