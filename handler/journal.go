package handler

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

// journal writes the access and error log lines of webhook requests in the
// place of Caddy.
//
// Caddy copies a request for its logs before any handler runs, with the verify
// token in its URI and the signature in its headers, and no handler can change
// that copy. So Caddy is kept from writing these lines, and the same lines go
// to the same loggers from here, without the secrets. For this, errors do not
// leave the handler: the error routes run from here as well.
type journal struct {
	access *zap.Logger
	errors *zap.Logger
	lines  *throttle.Throttle[string] // of errors that this plugin returns
}

func newJournal(http *zap.Logger) journal {
	return journal{access: http.Named("log.access"), errors: http.Named("log.error"), lines: new(throttle.Throttle[string])}
}

// entry is one request on its way through the journal.
type entry struct {
	*journal
	w       recorder
	r       *http.Request
	server  *caddyhttp.Server
	start   time.Time
	skip    bool   // no line in the access log
	ended   bool   // without a panic
	failure error  // of this handler or a next one
	own     bool   // that is of another handler of this plugin
	caught  bool   // and does not come from the next one, though it failed
	refused string // by this handler: the name of the reason
	uri     string // what the log tells of it, if r has lost it

	// These are set once a delivery is authentic.
	secret   *secret
	delivery event.Delivery
	body     *replay
	first    replay // body, until there is an error
}

// accept makes e the entry of an authentic delivery.
func (e *entry) accept(s *secret, body *buffer) {
	e.secret, e.body = s, &e.first
	e.delivery.Body, e.delivery.Secret, e.delivery.Signer = body.data, s.name, s
	e.body.begin(body)
	e.w.delivery = &e.delivery
}

// open takes the request over from Caddy's logs.
func (j *journal) open(w http.ResponseWriter, r *http.Request) *entry {
	e := &entry{journal: j, r: r, start: time.Now()}
	e.w.ResponseWriter = w
	e.server, _ = r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if vars, ok := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any); ok {
		e.skip, _ = vars[caddyhttp.LogSkipVar].(bool)
		vars[caddyhttp.LogSkipVar] = true
	}
	return e
}

// close ends the request: it writes the access log line, where the server writes access logs and
// log_skip was not set before this handler.
func (e *entry) close() {
	r := e.r
	if e.body != nil {
		defer e.body.end(&e.delivery)
	}
	if e.skip || !logsAccess(e.server, r.Host) {
		return
	}
	level := zapcore.InfoLevel
	if e.w.status >= http.StatusInternalServerError {
		level = zapcore.ErrorLevel
	}
	if name, ok := caddyhttp.GetVar(r.Context(), caddyhttp.LogLevelVar).(string); ok {
		if l, err := zapcore.ParseLevel(name); err == nil && l >= zapcore.DebugLevel && l <= zapcore.ErrorLevel {
			level = l
		}
	}
	var userID string
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		userID, _ = repl.GetString("http.auth.user.id")
	}
	for _, logger := range e.loggers(e.access) {
		if c := logger.Check(level, "handled request"); c != nil {
			c.Write(
				zap.Object("request", e.loggable()),
				zap.Int("bytes_read", e.size()),
				zap.String("user_id", userID),
				zap.Duration("duration", time.Since(e.start)),
				zap.Int("size", e.w.size),
				zap.Int("status", e.w.status),
				zap.Object("resp_headers", caddyhttp.LoggableHTTPHeader{Header: only(loggedAnswers, e.w.Header())}))
		}
	}
}

// size returns the size of the delivery, 0 for what was refused.
func (e *entry) size() int {
	if e.secret == nil {
		return 0
	}
	return e.delivery.Size()
}

// logsAccess reports whether the server writes access logs for a host.
func logsAccess(server *caddyhttp.Server, host string) bool {
	if server == nil || server.Logs == nil {
		return false
	}
	host = hostname(host)
	for name := range server.Logs.LoggerNames {
		if certmagic.MatchWildcard(host, name) {
			return true
		}
	}
	for _, skipped := range server.Logs.SkipHosts {
		if certmagic.MatchWildcard(host, skipped) {
			return false
		}
	}
	return !server.Logs.SkipUnmappedHosts
}

// loggers returns logger under the names that the config gives it for this
// request: those of log_name, of its host, or of the wildcard over its host.
func (e *entry) loggers(logger *zap.Logger) []*zap.Logger {
	if e.server.Logs == nil {
		return []*zap.Logger{logger}
	}
	var names []string
	if chosen, ok := caddyhttp.GetVar(e.r.Context(), caddyhttp.AccessLoggerNameVarKey).([]any); ok {
		for _, name := range chosen {
			if s, ok := name.(string); ok {
				names = append(names, s)
			}
		}
	} else {
		names = loggerNames(e.server.Logs, strings.ToLower(hostname(e.r.Host)))
	}
	loggers := make([]*zap.Logger, 0, len(names))
	for _, name := range names {
		// Named leaves the logger as it is for an empty name.
		loggers = append(loggers, logger.Named(name))
	}
	return loggers
}

func loggerNames(logs *caddyhttp.ServerLogConfig, host string) []string {
	if names, ok := logs.LoggerNames[host]; ok {
		return names
	}
	labels := strings.Split(host, ".")
	for i := range labels {
		if labels[i] == "" {
			continue
		}
		labels[i] = "*"
		if names, ok := logs.LoggerNames[strings.Join(labels, ".")]; ok {
			return names
		}
	}
	return []string{logs.DefaultLoggerName}
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// loggedHeaders and loggedAnswers are the headers of a request and of its answer
// that are worth a place in a log. Others are left out: what is not listed cannot
// leak, as a query does that a redirect repeats in Location.
var (
	loggedHeaders = []string{
		"Accept", "Content-Encoding", "Content-Length", "Content-Type",
		"User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
	}
	loggedAnswers = []string{
		"Allow", "Alt-Svc", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Type",
		"Date", "Retry-After", "Server", "Via", "X-Content-Type-Options", "X-Powered-By",
	}
)

// only returns the headers of those names.
func only(names []string, header http.Header) http.Header {
	some := make(http.Header, len(names))
	for _, name := range names {
		if values, ok := header[name]; ok {
			some[name] = values
		}
	}
	return some
}

// loggable returns the request in the form of Caddy's log lines, without secrets.
func (e *entry) loggable() caddyhttp.LoggableHTTPRequest {
	safe := *e.r
	safe.Header = only(loggedHeaders, e.r.Header)
	if safe.RequestURI = e.uri; e.uri == "" {
		safe.RequestURI = loggedURI(e.r)
	}
	return caddyhttp.LoggableHTTPRequest{Request: &safe}
}

// loggedURI returns where r came to, without the query.
func loggedURI(r *http.Request) string {
	uri := r.RequestURI
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		uri = original.RequestURI
	}
	if path, _, found := strings.Cut(uri, "?"); found {
		// A token may stand anywhere in it, also under a wrong name.
		uri = path + "?REDACTED"
	}
	return uri
}
