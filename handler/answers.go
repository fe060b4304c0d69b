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

	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/outage"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

// metaWaits is how long Meta waits for an answer. See its "Instagram Messaging ›
// Webhooks".
const metaWaits = meta.AnswerWithin

// slow is the kind of an answer of 200 that came too late.
const slow = "slow"

// answers tells of answers to authentic deliveries that Meta takes for failures,
// as nobody else does: Meta is silent, and the application means well with a 204.
type answers struct {
	logger *zap.Logger
	lines  throttle.Throttle[string] // by the label of the status

	failing outage.Outage
	failed  atomic.Int64 // deliveries, since it began
}

func newAnswers(logger *zap.Logger) *answers { return &answers{logger: logger} }

// watch looks at the answer to an authentic delivery.
func (a *answers) watch(e *entry) {
	duration := time.Since(e.start)
	if e.answered() && e.w.status == http.StatusOK && duration <= metaWaits {
		a.failing.Recover(a.recovered)
		return
	}
	a.failed.Add(1)
	detail := e.fault(duration)
	a.failing.Fail(func() { a.failed.Store(1) }, func(lasted time.Duration) {
		a.logger.Error("deliveries still fail: "+outage.Consequence,
			zap.Duration("for", lasted), zap.Int64("failed", a.failed.Load()), zap.String("first_failure", detail))
	})
	if e.refused != "" || e.own {
		return // the log has the cause already
	}
	kind := answerLabel(e.w.status)
	switch {
	case !e.answered():
		kind = brokenOff
	case e.w.status == http.StatusOK:
		kind = slow
	}
	leftOut, ok := a.lines.Admit(kind)
	if !ok {
		return
	}
	a.logger.Warn("delivery failed",
		zap.String("detail", detail+"; Meta counts that as a failure"),
		zap.Int("status", e.w.status),
		zap.Duration("duration", duration),
		zap.String("secret", e.secret.name),
		zap.Int("left_out", leftOut))
}

// recovered tells of the end of what a.failing has told of.
func (a *answers) recovered(lasted time.Duration) {
	if lasted >= outage.Told {
		a.logger.Info("deliveries are taken again", zap.Duration("failed_for", lasted), zap.Int64("failed", a.failed.Load()))
	}
}

// close logs the counts that no later line has told. From then on, nothing is
// told of what lasts.
func (a *answers) close() {
	a.failing.Stop()
	a.lines.Rest(func(kind string, leftOut int) {
		a.logger.Warn("failed deliveries left out of the log", zap.String("status", kind), zap.Int("left_out", leftOut))
	})
}

// answered reports whether there was a whole answer.
func (e *entry) answered() bool { return e.ended && e.w.written() }

// fault says in words what is wrong with the answer to a delivery.
func (e *entry) fault(duration time.Duration) string {
	status := e.w.status
	took := duration.Round(100 * time.Millisecond)
	switch {
	case !e.answered():
		return "the answer broke off"
	case e.refused == untaken.name:
		return fmt.Sprintf("no handler took the delivery, which was answered with %d", status)
	case status == http.StatusOK:
		return fmt.Sprintf("the answer took %s, and Meta waits for %s", took, metaWaits)
	case status == statusHungUp:
		return fmt.Sprintf("Meta hung up after %s, before there was an answer", took)
	case e.failure != nil:
		return fmt.Sprintf("a handler after instagram_webhook failed%s, which was answered with %d", e.cause(), status)
	}
	text := fmt.Sprintf("the application answered %d", status)
	if path := e.redirectedTo(); path != "" {
		text += " to " + path
	}
	return text
}

// cause returns, in brackets, what the network did to a handler, or "". Other
// errors may repeat anything of a request.
func (e *entry) cause() string {
	var failure error
	if dial, ok := errors.AsType[reverseproxy.DialError](e.failure); ok {
		failure = dial // which does not unwrap
	} else if network, ok := errors.AsType[*net.OpError](e.failure); ok {
		failure = network
	} else {
		return ""
	}
	return " (" + sanitize.Text(failure.Error(), maxCause) + ")"
}

// maxCause is how much of a cause is logged, in bytes.
const maxCause = 200

// maxPath is how much of a path is logged, in bytes.
const maxPath = 200

// redirectedTo returns the path that a redirect leads to, or "". A query may
// hold anything.
func (e *entry) redirectedTo() string {
	if e.w.status/100 != 3 {
		return ""
	}
	location := e.w.Header().Get("Location")
	if location == "" {
		return ""
	}
	target, err := url.Parse(location)
	if err != nil {
		return ""
	}
	return sanitize.Text(target.EscapedPath(), maxPath)
}
