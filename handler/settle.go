package handler

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-instagram/webhooks/internal/httperror"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

// settle does with an error what Caddy's server does: log it and run the error
// routes, or write its status. It returns nil where it could.
//
// Unlike with Caddy, error routes do not make the answer a success: Meta would
// forget a delivery that nobody has taken.
func (e *entry) settle(err error) error {
	if err == nil {
		return nil
	}
	e.failure, e.own = err, isOwn(err)
	if e.server == nil {
		return err
	}
	duration := time.Since(e.start)
	e.restore()
	if e.w.written() && e.w.status < http.StatusBadRequest {
		// Nothing can be done about this status, which may be on its way, but
		// to break the answer off: it is not whole then, or never comes.
		e.report(zapcore.ErrorLevel, err, nil, duration)
		panic(http.ErrAbortHandler)
	}
	answered := e.caught && e.w.written()
	if e.own || answered {
		// An error route makes nothing better: the delivery is not stored.
		e.report(zapcore.ErrorLevel, err, nil, duration)
	}
	if answered {
		return nil
	}
	status := httperror.Status(err)
	e.w.held = status
	level, failure := e.runErrorRoutes(err, status)
	e.w.WriteHeader(status) // where nobody did: what is not answered becomes 200
	// A forger must not make work of lines that nobody wants.
	if (!e.own || failure != nil) && e.errors.Core().Enabled(level) {
		e.report(level, err, failure, duration)
	}
	return nil
}

// restore makes the request again what came in, for the error routes and the
// log.
func (e *entry) restore() {
	r := e.r
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		r.Method = original.Method
		r.RemoteAddr = original.RemoteAddr
		r.RequestURI = original.RequestURI
		*r.URL = *original.URL
	}
	if e.body != nil {
		e.body = e.body.restart()
		r.Body = e.body
	}
}

// runErrorRoutes has the error routes answer, if there are any. It returns how
// serious err is then, and the failure of the routes.
func (e *entry) runErrorRoutes(err error, status int) (level zapcore.Level, failure error) {
	inErrorRoute := e.r.Context().Value(caddyhttp.ErrorCtxKey) != nil // which must not run itself again
	if e.server.Errors == nil || len(e.server.Errors.Routes) == 0 || inErrorRoute {
		if status >= http.StatusInternalServerError {
			return zapcore.ErrorLevel, nil
		}
		return zapcore.DebugLevel, nil
	}
	failed := e.server.Errors.WithError(e.r, err)
	if failure = e.server.Errors.Routes.Compile(writeStatus(status)).ServeHTTP(&e.w, failed); failure != nil {
		return zapcore.ErrorLevel, failure
	}
	return zapcore.DebugLevel, nil
}

// isOwn reports whether err is of another handler of this plugin.
func isOwn(err error) bool {
	_, own := errors.AsType[throttle.Error](err)
	return own
}

// report writes the line of an error, and of the failure of the error routes if
// that is not nil. Of the errors that this plugin returns, it writes one line a
// second of each kind.
func (e *entry) report(level zapcore.Level, err, failure error, duration time.Duration) {
	message, fields := describe(err)
	if failure != nil {
		message = "error handling handler error"
		fields = append(fields, zap.NamedError("first_error", err), zap.String("error", failure.Error()))
	}
	if kind := e.kindOf(err, failure); kind != "" && level >= zapcore.ErrorLevel {
		leftOut, ok := e.lines.Admit(kind)
		if !ok {
			return
		}
		fields = append(fields, zap.Int("left_out", leftOut))
	}
	fields = append(fields, zap.Object("request", e.loggable()), zap.Duration("duration", duration))
	for _, logger := range e.loggers(e.errors) {
		if c := logger.Check(level, message); c != nil {
			c.Write(fields...)
		}
	}
}

// kindOf returns the kind of errors of which one is this plugin's, or "".
func (e *entry) kindOf(errs ...error) string {
	for _, err := range errs {
		if own, ok := errors.AsType[throttle.Error](err); ok {
			return own.Kind
		}
	}
	return e.refused
}

// closeLog tells what was left out of the log.
func (j *journal) closeLog() {
	j.lines.Rest(func(kind string, leftOut int) {
		j.errors.Warn("errors left out of the log", zap.String("kind", kind), zap.Int("left_out", leftOut))
	})
}

// describe returns what Caddy logs about an error.
func describe(err error) (message string, fields []zapcore.Field) {
	var handled caddyhttp.HandlerError
	if !errors.As(err, &handled) {
		return err.Error(), nil
	}
	message = handled.Error()
	if handled.Err != nil {
		message = handled.Err.Error()
	}
	return message, []zapcore.Field{
		zap.Int("status", handled.StatusCode),
		zap.String("err_id", handled.ID),
		zap.String("err_trace", handled.Trace),
	}
}

// writeStatus ends the chain of error routes that wrote no response.
func writeStatus(status int) caddyhttp.Handler {
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(status)
		return nil
	})
}
