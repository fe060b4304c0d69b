package handler

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/placeholder"
	"github.com/caddy-instagram/webhooks/internal/secretcheck"
)

// secretWarnings logs what is odd about the tokens and secrets of a handler. None
// of it is an error: what Meta accepts is for Meta to say. No line holds any part
// of a value.
type secretWarnings struct {
	logger *zap.Logger
	config *app.App
	known  map[string]string // by value: what it was given as
}

// verifyToken looks at the token with this index, which resolved to value.
func (w *secretWarnings) verifyToken(i int, configured, value string) {
	what := fmt.Sprintf("verify_token %d", i+1)
	if problem := secretcheck.Mangled(value); problem != "" {
		w.warn("a verify token was probably changed on its way into the config", what, configured, problem)
	}
	w.remember(what, value)
}

// appSecret looks at the app secret with this name, which resolved to value.
func (w *secretWarnings) appSecret(name, configured, value string) {
	what := fmt.Sprintf("app_secret %q", name)
	if problem := secretcheck.Describe(value); problem != "" {
		w.warn("an app secret does not look like one of Meta's, which are 32 hexadecimal digits: "+
			"deliveries signed with the right one will be refused", what, configured, problem)
	}
	if other := w.remember(what, value); other != "" {
		w.warn("one value is given twice", what, configured, "it is the same as "+other+
			": each app secret is a value of its own, and a verify token, which is sent in URLs, must be none of them")
	}
}

// remember returns what the value was given as before, or "".
func (w *secretWarnings) remember(what, value string) string {
	if w.known == nil {
		w.known = make(map[string]string)
	}
	other := w.known[value]
	if other == "" {
		w.known[value] = what
	}
	return other
}

// warn logs a problem, unless another handler of this config has logged it.
func (w *secretWarnings) warn(message, what, configured, problem string) {
	if !placeholder.IsSingle(configured) {
		configured = ""
	}
	if !w.config.Once(fmt.Sprint(message, what, configured, problem)) {
		return
	}
	fields := []zap.Field{zap.String("which", what)}
	if configured != "" {
		fields = append(fields, zap.String("from", configured))
	}
	w.logger.Warn(message, append(fields, zap.String("problem", problem))...)
}
