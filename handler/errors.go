package handler

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-instagram/webhooks/internal/httperror"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

// respondError does with an error what Caddy's server does: it logs it and runs
// the error routes, or writes its status. Outside of a server, it returns err.
//
// Unlike with Caddy, error routes do not make the response a success: Meta would
// forget a delivery that nobody has taken.
func (x *exchange) respondError(err error) error {
	x.failure = err
	if x.log.Server == nil {
		return err
	}
	duration := time.Since(x.log.Start)
	x.restore()
	written := x.w.written()
	logged := ownKind(err) != "" || written && (x.caught || x.w.status < http.StatusBadRequest)
	if logged {
		// Now, because error routes may abort. They make nothing better: the
		// delivery is not stored.
		x.logError(zapcore.ErrorLevel, err, nil, duration)
	}
	if written && x.w.status < http.StatusBadRequest {
		// This status may be on its way. All that can be done is to break the
		// response off: it is not whole then, or never arrives.
		panic(http.ErrAbortHandler)
	}
	if written && x.caught {
		return nil
	}
	status := httperror.Status(err)
	x.w.held = status
	level, failure := x.runErrorRoutes(err, status)
	x.w.WriteHeader(status) // if nobody did: Caddy makes 200 of a missing status
	if !logged || failure != nil {
		x.logError(level, err, failure, duration)
	}
	return nil
}

// restore makes the request again what came in, for the error routes.
func (x *exchange) restore() {
	if original, ok := x.r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		x.r.Method = original.Method
		x.r.RemoteAddr = original.RemoteAddr
		x.r.RequestURI = original.RequestURI
		*x.r.URL = *original.URL
	}
	if x.authentic {
		x.body = x.body.restart(x.delivery.Body)
		x.r.Body = x.body
	}
}

// runErrorRoutes has the error routes respond, if there are any. It returns the
// level to log err at, and the error of the routes.
func (x *exchange) runErrorRoutes(err error, status int) (level zapcore.Level, failure error) {
	routes := x.log.Server.Errors
	inErrorRoute := x.r.Context().Value(caddyhttp.ErrorCtxKey) != nil // which must not run itself again
	if routes == nil || len(routes.Routes) == 0 || inErrorRoute {
		if status >= http.StatusInternalServerError {
			return zapcore.ErrorLevel, nil
		}
		return zapcore.DebugLevel, nil
	}
	// The last handler is for routes that write no response.
	chain := routes.Routes.Compile(caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(status)
		return nil
	}))
	if failure = chain.ServeHTTP(&x.w, routes.WithError(x.r, err)); failure != nil {
		return zapcore.ErrorLevel, failure
	}
	return zapcore.DebugLevel, nil
}

// ownKind returns the kind of an error of another handler of this plugin, and ""
// for other errors.
func ownKind(err error) string {
	own, _ := errors.AsType[throttle.Error](err)
	return own.Kind
}

// logError writes the log line of an error, and of the failure of the error routes
// if that is not nil. Of the errors that this plugin returns, it writes one line a
// second of each kind.
func (x *exchange) logError(level zapcore.Level, err, failure error, duration time.Duration) {
	kind := cmp.Or(ownKind(err), ownKind(failure), x.rejectedFor())
	if kind == "" || level < zapcore.ErrorLevel {
		x.log.Error(level, err, failure, duration)
		return
	}
	leftOut, ok := x.h.lines.Admit(lineKind{x.h.log.Errors, "errors left out of the log", "kind", kind})
	if ok {
		x.log.Error(level, err, failure, duration, zap.Int("left_out", leftOut))
	}
}
