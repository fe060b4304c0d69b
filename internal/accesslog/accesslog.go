// Package accesslog writes the access and error log lines of requests whose URI
// or headers may hold secrets: the lines that Caddy would write, without these.
//
// Caddy copies a request for its logs before any handler runs, with its whole
// URI and all of its headers, and no handler can change that copy. So Caddy is
// kept from writing these lines, and they go to the same loggers from here. An
// error must not reach Caddy's server for this: whoever uses this package runs
// the error routes as well.
//
// Fields that Caddy gives no access to are missing: those of log_append and
// tracing, and write_error.
package accesslog

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Logger writes the log lines of Caddy's HTTP servers.
type Logger struct {
	access *zap.Logger

	// Errors is the logger of errors, whatever names a config gives it for some
	// requests.
	Errors *zap.Logger
}

// New returns a Logger that writes to http, the logger of Caddy's HTTP app.
func New(http *zap.Logger) *Logger {
	return &Logger{access: http.Named("log.access"), Errors: http.Named("log.error")}
}

// Request is a request about which Caddy writes no lines.
type Request struct {
	// Start is when the request was taken over.
	Start time.Time

	// Server is the server that the request came to. It is nil outside of one,
	// as in tests.
	Server *caddyhttp.Server

	logger  *Logger
	request *http.Request
	arrived context.Context // of the request before a handler replaced it
	skip    bool            // no line in the access log
}

// Take takes the lines about r over from Caddy.
func (l *Logger) Take(r *http.Request) Request {
	q := Request{Start: time.Now(), logger: l, request: r, arrived: r.Context()}
	q.Server, _ = q.arrived.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if vars, ok := q.arrived.Value(caddyhttp.VarsCtxKey).(map[string]any); ok {
		q.skip, _ = vars[caddyhttp.LogSkipVar].(bool)
		vars[caddyhttp.LogSkipVar] = true
	}
	return q
}

// Access writes the access log line, unless the server writes none for this
// host or log_skip was set before Take.
func (q *Request) Access(bytesRead, status, size int, header http.Header) {
	if q.skip || !q.enabled() {
		return
	}
	level := zapcore.InfoLevel
	if status >= http.StatusInternalServerError {
		level = zapcore.ErrorLevel
	}
	if name, ok := caddyhttp.GetVar(q.arrived, caddyhttp.LogLevelVar).(string); ok {
		if l, err := zapcore.ParseLevel(name); err == nil && l >= zapcore.DebugLevel && l <= zapcore.ErrorLevel {
			level = l
		}
	}
	var userID string
	if repl, ok := q.arrived.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		userID, _ = repl.GetString("http.auth.user.id")
	}
	q.write(q.logger.access, level, "handled request",
		zap.Int("bytes_read", bytesRead),
		zap.String("user_id", userID),
		zap.Duration("duration", time.Since(q.Start)),
		zap.Int("size", size),
		zap.Int("status", status),
		zap.Object("resp_headers", caddyhttp.LoggableHTTPHeader{Header: only(responseHeaders, header)}))
}

// Error writes the line about an error that a handler returned after duration,
// with more fields. failure is the error of the error routes, or nil.
func (q *Request) Error(level zapcore.Level, err, failure error, duration time.Duration, more ...zap.Field) {
	if !q.logger.Errors.Core().Enabled(level) {
		return // or a flood of errors would make work for nothing
	}
	message, details := describe(err)
	fields := append([]zap.Field{zap.Duration("duration", duration)}, more...)
	if failure != nil {
		fields = append(fields, zap.String("error", failure.Error()), zap.Namespace("first_error"), zap.String("msg", message))
		message = "error handling handler error"
	}
	q.write(q.logger.Errors, level, message, append(fields, details...)...)
}

// describe returns the message and the fields that Caddy logs about an error.
func describe(err error) (message string, fields []zap.Field) {
	handled, ok := errors.AsType[caddyhttp.HandlerError](err)
	if !ok {
		return err.Error(), []zap.Field{zap.Error(err)}
	}
	message = handled.Error()
	if handled.Err != nil {
		message = handled.Err.Error()
	}
	return message, []zap.Field{
		zap.Int("status", handled.StatusCode),
		zap.String("err_id", handled.ID),
		zap.String("err_trace", handled.Trace),
	}
}

// write writes a line about the request to logger, under each of the names that
// the config gives it.
func (q *Request) write(logger *zap.Logger, level zapcore.Level, message string, fields ...zap.Field) {
	fields = append([]zap.Field{zap.Object("request", q.loggable())}, fields...)
	for _, name := range q.loggerNames() {
		// Named leaves the logger as it is for an empty name.
		if line := logger.Named(name).Check(level, message); line != nil {
			line.Write(fields...)
		}
	}
}

// enabled reports whether the server writes access logs for the host of the
// request.
func (q *Request) enabled() bool {
	if q.Server == nil || q.Server.Logs == nil {
		return false
	}
	logs, host := q.Server.Logs, hostname(q.request.Host)
	for name := range logs.LoggerNames {
		if certmagic.MatchWildcard(host, name) {
			return true
		}
	}
	for _, skipped := range logs.SkipHosts {
		if certmagic.MatchWildcard(host, skipped) {
			return false
		}
	}
	return !logs.SkipUnmappedHosts
}

// loggerNames returns the names that the config gives to loggers for this
// request: those of log_name, of its host, or of a wildcard over its host.
func (q *Request) loggerNames() (names []string) {
	if q.Server == nil || q.Server.Logs == nil {
		return []string{""}
	}
	chosen, ok := caddyhttp.GetVar(q.arrived, caddyhttp.AccessLoggerNameVarKey).([]any)
	if !ok {
		return namesForHost(q.Server.Logs, hostname(q.request.Host))
	}
	for _, name := range chosen {
		if s, ok := name.(string); ok {
			names = append(names, s)
		}
	}
	return names
}

func namesForHost(logs *caddyhttp.ServerLogConfig, host string) []string {
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

// hostname returns a host without its port, in lower case as in a config.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(host)
}

// requestHeaders and responseHeaders are the headers that are worth a place in a
// log. Others are left out: what is not listed cannot leak, as a query does that
// a redirect repeats in Location.
var (
	requestHeaders = []string{
		"Accept", "Content-Encoding", "Content-Length", "Content-Type",
		"User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
	}
	responseHeaders = []string{
		"Allow", "Alt-Svc", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Type",
		"Date", "Retry-After", "Server", "Via", "X-Content-Type-Options", "X-Powered-By",
	}
)

// only returns the headers of those names.
func only(names []string, header http.Header) http.Header {
	listed := make(http.Header, len(names))
	for _, name := range names {
		if values, ok := header[name]; ok {
			listed[name] = values
		}
	}
	return listed
}

// loggable returns the request in the form of Caddy's log lines, as it arrived,
// without its query: a token may stand anywhere in it, also under a wrong name.
func (q *Request) loggable() caddyhttp.LoggableHTTPRequest {
	safe := *q.request
	safe.Header = only(requestHeaders, q.request.Header)
	if original, ok := q.arrived.Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		safe.RequestURI = original.RequestURI
	}
	if path, _, found := strings.Cut(safe.RequestURI, "?"); found {
		safe.RequestURI = path + "?REDACTED"
	}
	return caddyhttp.LoggableHTTPRequest{Request: &safe}
}
