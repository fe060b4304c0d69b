// Package misplaced answers requests that reach a handler without having passed
// instagram_webhook.
package misplaced

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/httperror"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

// Answerer answers for one handler, which stands in the wrong place. The zero Answerer is ready for use.
type Answerer struct {
	lines throttle.Throttle[struct{}]
}

// maxText is how much of a host or a path is logged, in bytes.
const maxText = 256

// Answer answers r with 500 and logs why, at most once a second.
//
// It returns no error to the server: Caddy would log the URI, which holds the
// verify token if this is Meta's verification request. The access log gets no line
// for the same reason.
//
// In an error route, r is a request that was refused and holds no delivery: it is
// answered with the status of the error.
func (a *Answerer) Answer(w http.ResponseWriter, r *http.Request, logger *zap.Logger, directive string) {
	if r.Context().Value(caddyhttp.VarsCtxKey) != nil {
		caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
	}
	if err, ok := r.Context().Value(caddyhttp.ErrorCtxKey).(error); ok {
		w.WriteHeader(httperror.Status(err))
		return
	}
	w.WriteHeader(http.StatusInternalServerError)
	leftOut, ok := a.lines.Admit(struct{}{})
	if !ok {
		return
	}
	clientIP, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	logger.Error(directive+" got a request that was not authenticated: instagram_webhook must come before it",
		zap.Int("status", http.StatusInternalServerError),
		zap.String("method", r.Method),
		zap.String("host", sanitize.Text(r.Host, maxText)),
		zap.String("path", sanitize.Text(r.URL.Path, maxText)),
		zap.String("client_ip", clientIP),
		zap.Int("left_out", leftOut))
}
