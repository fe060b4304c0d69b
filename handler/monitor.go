package handler

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/outage"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

// monitor logs responses to authentic deliveries that Meta takes for failures.
// Nothing else does: Meta is silent, and an application that answers 204 means
// success.
type monitor struct {
	logger  *zap.Logger
	lines   *throttle.Throttle[lineKind]
	alerts  *alert.Center
	failing outage.Outage
	failed  atomic.Int64 // deliveries since the outage began

	last      atomic.Pointer[failure]
	succeeded atomic.Bool // since the config was loaded, and since the last alert
}

// observe looks at the response to an authentic delivery.
func (m *monitor) observe(x *exchange) {
	duration := time.Since(x.log.Start)
	if x.answered() && x.w.status == http.StatusOK && duration <= meta.AnswerWithin {
		m.failing.Recover(m.recovered)
		m.recoverAlerts(x)
		return
	}
	m.failed.Add(1)
	problem := x.problem(duration)
	m.last.Store(&failure{time.Now(), x.callback(), problem, ownKind(x.failure), isReported(x.failure)})
	m.failing.Fail(func() { m.failed.Store(1) }, func(lasted time.Duration) {
		m.logger.Error("deliveries still fail: "+outage.Consequence,
			zap.Duration("for", lasted), zap.Int64("failed", m.failed.Load()), zap.String("first_failure", problem))
		m.alert(lasted)
	})
	if x.rejection != nil || ownKind(x.failure) != "" {
		return // the log has the cause already
	}
	kind := x.outcome()
	if kind == statusOK {
		kind = "slow"
	}
	leftOut, ok := m.lines.Admit(lineKind{m.logger, "failed deliveries left out of the log", "status", kind})
	if !ok {
		return
	}
	m.logger.Warn("delivery failed",
		zap.String("detail", problem+"; Meta counts that as a failure"),
		zap.Int("status", x.w.status),
		zap.Duration("duration", duration),
		zap.String("secret", x.secret.Name),
		zap.Int("left_out", leftOut))
}

// Refusing reports whether the last delivery was refused, as it could not be stored. If none
// has come for as long as Meta needs to end a subscription, none may come before it is made
// again. It implements app.Refuser.
func (m *monitor) Refusing() bool {
	if m.failing.Since().IsZero() {
		return false
	}
	last := m.last.Load()
	return last.refused() && time.Since(last.at) < meta.UnsubscribeAfter
}

// recovered logs the end of an outage, if its beginning was logged.
func (m *monitor) recovered(lasted time.Duration) {
	if lasted >= outage.FirstWarning {
		m.logger.Info("deliveries are taken again", zap.Duration("failed_for", lasted), zap.Int64("failed", m.failed.Load()))
	}
}

// problem says in words what is wrong with the response to a delivery.
func (x *exchange) problem(duration time.Duration) string {
	status := x.w.status
	duration = duration.Round(100 * time.Millisecond)
	switch {
	case !x.answered():
		return "the answer broke off"
	case x.rejection != nil:
		return fmt.Sprintf("no handler took the delivery, which was answered with %d", status)
	case status == http.StatusOK:
		return fmt.Sprintf("the answer took %s, and Meta waits for %s", duration, meta.AnswerWithin)
	case status == statusHungUp:
		return fmt.Sprintf("Meta hung up after %s, before there was an answer", duration)
	case x.failure != nil:
		return fmt.Sprintf("a handler after instagram_webhook failed%s, which was answered with %d", x.cause(), status)
	case status/100 == 3:
		return fmt.Sprintf("the application answered %d%s", status, x.redirect())
	}
	return fmt.Sprintf("the application answered %d", status)
}

// statusHungUp is Caddy's, when the client did not wait for the response.
const statusHungUp = 499

// maxText is how much of a cause or a path is logged, in bytes.
const maxText = 200

// cause returns, in brackets, what the network did to a handler, or "". Other
// errors may repeat anything of a request.
func (x *exchange) cause() string {
	// A DialError does not unwrap what is in it.
	var failure error
	if dial, ok := errors.AsType[reverseproxy.DialError](x.failure); ok {
		failure = dial
	} else if network, ok := errors.AsType[*net.OpError](x.failure); ok {
		failure = network
	} else {
		return ""
	}
	return " (" + sanitize.Text(failure.Error(), maxText) + ")"
}

// redirect returns the path that the response redirects to, or "". Its query may
// hold anything.
func (x *exchange) redirect() string {
	target, err := url.Parse(x.w.Header().Get("Location"))
	if err != nil || target.Path == "" {
		return ""
	}
	return " to " + sanitize.Text(target.EscapedPath(), maxText)
}
