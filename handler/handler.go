// Package handler authenticates Instagram's webhooks inside Caddy.
package handler

import (
	"crypto/sha256"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-instagram/webhooks/internal/accesslog"
	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// DefaultMaxSize is the largest delivery accepted when max_size is not set, in
// bytes. Meta publishes no limit; a batch of 1000 updates is about 300 KB.
const DefaultMaxSize = 8 << 20

// Handler lets only authentic deliveries of Instagram's webhooks reach the
// handlers that follow it.
//
// It answers Meta's verification request (a GET request with `hub.mode`,
// `hub.challenge` and `hub.verify_token`) by itself. It checks the
// `X-Hub-Signature-256` header of each delivery (a POST request) against the
// raw bytes of the body, and demands Meta's client certificate when
// `client_cert` is set. The next handler gets an authentic delivery unchanged,
// with a known length. Everything else is refused: 400 and 403 for a verification
// request, 401 for a missing or wrong signature, 403 for trouble with the client
// certificate (425 for TLS early data), 405 for other methods, 413 for a body over
// `max_size`.
//
// Secrets and tokens are best given as `{env.*}` or `{file.*}` placeholders:
// they are resolved once, when the config is loaded, and then stand neither in
// the config that the admin API shows nor in any log.
//
// These placeholders are available to the handlers that follow. Those of an
// event are of the first event in a delivery. A delivery is parsed only when a
// placeholder needs it.
//
// Placeholder | Description
// ------------|------------
// `{instagram.secret}` | Name of the app secret whose signature matched
// `{instagram.size}` | Size of the delivery in bytes
// `{instagram.count}` | Number of events in the delivery
// `{instagram.object}` | What kind of object the account is, such as `instagram`
// `{instagram.account}` | Id of the account that the event belongs to
// `{instagram.field}` | Field of the event, such as `comments`
// `{instagram.id}` | Identity of the event: the same when Meta sends it again
// `{instagram.conversation}` | Key of the conversation, or of the media commented on
// `{instagram.test}` | `true` if the dashboard's Test button sent it
//
// Meta takes any answer to a delivery but 200 for a failure. The next handler's
// status goes to Meta as it is, unless Accept2xx is set; the log and the metric
// `caddy_instagram_answers_total` tell of what Meta takes for a failure. A
// delivery that no later handler takes is answered with 503, so that Meta sends
// it again. Error routes can give what was refused, not taken or failed another
// body, but no status below 400: where they write one, the original one stands.
type Handler struct {
	// VerifyTokens are the verify tokens that you chose in Meta's App
	// Dashboard. A verification request must carry one of them. At least one
	// is needed. Placeholders are resolved when the config is loaded.
	VerifyTokens []string `json:"verify_tokens,omitempty"`

	// AppSecrets are the keys of the signatures. Deliveries of the Instagram
	// Login product are signed with the *Instagram app secret*, those of
	// Facebook Login with the *Meta app secret*, and no header tells which:
	// all are tried. At least one is needed.
	AppSecrets []AppSecret `json:"app_secrets,omitempty"`

	// ClientCert demands Meta's client certificate (mTLS) when it is set. The
	// TLS connection policy must ask for a certificate: in a Caddyfile, put
	// `client_auth { mode request }` into the site's `tls` directive.
	ClientCert *ClientCert `json:"client_cert,omitempty"`

	// MaxSize is the largest delivery accepted, in bytes. A larger one is
	// refused with 413. Default: 8388608 (8 MiB).
	MaxSize int64 `json:"max_size,omitempty"`

	// Accept2xx answers Meta with 200 where the next handler answers with
	// another status of 2xx, such as 201, 202 or 204. Meta takes anything but
	// 200 for a failure, sends the delivery again, and in the end unsubscribes
	// the account. Default: false, which leaves the status as it is.
	Accept2xx bool `json:"accept_2xx,omitempty"`

	tokens  [][sha256.Size]byte // hashes
	secrets []*secret
	metrics *metrics
	feed    *live.Feed
	log     *accesslog.Logger
	logger  *zap.Logger
	lines   *throttle.Throttle[lineKind]
	monitor *monitor

	accounts bool // are looked after: when their events come must be known
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.instagram_webhook",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision resolves the tokens and secrets and loads the trust pool. It fails
// when a token or secret is missing or resolves to nothing: an empty key would
// let anyone sign.
func (h *Handler) Provision(ctx caddy.Context) error {
	config, err := app.OfServer(ctx)
	if err != nil {
		return err
	}
	warnings := secretWarnings{logger: ctx.Logger(), config: config}
	if h.tokens, err = provisionTokens(h.VerifyTokens, &warnings); err != nil {
		return err
	}
	if h.secrets, err = provisionSecrets(h.AppSecrets, &warnings); err != nil {
		return err
	}
	h.accounts = config.HasAccounts()
	if h.ClientCert != nil {
		if err := h.ClientCert.provision(ctx); err != nil {
			return fmt.Errorf("client_cert: %w", err)
		}
		config.WatchCAs(h.ClientCert.CAs())
	}
	if h.MaxSize == 0 {
		h.MaxSize = DefaultMaxSize
	}
	if err := shared.register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	h.countWith(shared)
	h.publishTo(live.Shared)
	h.logTo(ctx.Logger(), ctx.Logger(new(caddyhttp.App)))
	config.AddWebhook(h.monitor)
	return nil
}

// countWith makes m the metrics of h.
func (h *Handler) countWith(m *metrics) {
	h.metrics = m
	for _, s := range h.secrets {
		s.accepted = m.deliveries.WithLabelValues(accepted, s.Name)
		s.unhandled = m.deliveries.WithLabelValues(unhandled.name, s.Name)
	}
}

// publishTo makes feed the feed of h.
func (h *Handler) publishTo(feed *live.Feed) {
	h.feed = feed
	for _, s := range h.secrets {
		s.matched = feed.AppSecret(s.Name)
	}
}

// logTo makes own the logger of h, and http that of Caddy's HTTP servers.
func (h *Handler) logTo(own, http *zap.Logger) {
	h.logger, h.log = own, accesslog.New(http)
	h.lines = new(throttle.Throttle[lineKind])
	h.monitor = &monitor{logger: own, lines: h.lines, alerts: alert.Shared}
}

// Validate checks the options that have a range.
func (h *Handler) Validate() error {
	if h.MaxSize < 0 {
		return fmt.Errorf("max_size must not be negative: %d", h.MaxSize)
	}
	return nil
}

// Cleanup logs how many lines were left out of the log.
func (h *Handler) Cleanup() error {
	if h.monitor != nil { // else Provision failed
		h.monitor.failing.Stop()
		h.logLeftOut()
	}
	return nil
}

// ServeHTTP answers verification requests, authenticates deliveries and passes
// authentic ones to next.
//
// It keeps little on the stack while next runs. Under Caddy's own frames that
// decides whether the stack has to grow, which costs more than the signature.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	x := h.begin(w, r)
	defer x.end()
	var err error
	switch r.Method {
	case http.MethodGet:
		err = x.verify()
	case http.MethodPost:
		err = x.authenticate()
		if x.authentic {
			err = x.finish(next.ServeHTTP(&x.w, r))
		}
	default:
		x.w.Header().Set("Allow", "GET, POST")
		err = x.reject(methodNotAllowed.withCause(errBadMethod))
	}
	if err != nil {
		err = x.respondError(err)
	}
	x.completed = true
	return err
}

// MarshalLogObject keeps tokens and secrets out of Caddy's handler trace.
func (h *Handler) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddInt("verify_tokens", len(h.VerifyTokens))
	names := make([]string, len(h.secrets))
	for i, s := range h.secrets {
		names[i] = s.Name
	}
	zap.Strings("app_secrets", names).AddTo(enc)
	enc.AddBool("client_cert", h.ClientCert != nil)
	enc.AddInt64("max_size", h.MaxSize)
	enc.AddBool("accept_2xx", h.Accept2xx)
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ zapcore.ObjectMarshaler     = (*Handler)(nil)
)
