package queue

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/live"
)

// logKind is a kind of log line. Of each kind there is at most one a second.
type logKind struct{ message, reason string }

// The messages of lines.
const (
	msgFailed = "attempt to deliver an event failed"
	msgCut    = "attempt to deliver an event was cut short, as Caddy stops or reloads: the event is delivered again"
	msgLost   = "attempt to deliver an event was cut short, as its lease was lost: the event is delivered again"
	msgStuck  = "an attempt is over, but its handler does not return and takes up concurrency: with php_fastcgi, set read_timeout and write_timeout"
	msgDead   = "event could not be delivered and is a dead letter now"
	msgStore  = "the store of the queue does not work"

	msgDropped = "the consumer was dropped from the queue: nothing is delivered to it until Caddy reloads"
)

// publish counts an attempt that was not cut short, and tells who watches how it ended:
// with what may stand in a log.
func (d *Dispatcher) publish(e *Event, r result) {
	switch {
	case r.cut:
		return
	case r.reason == "":
		d.consumer.Delivered(r.Ended)
	default:
		d.consumer.Failed(r.Ended, r.cause)
	}
	if live.Shared.Watched() {
		live.Shared.Publish(live.Event{
			Kind: live.Attempt, Time: r.Ended.UTC(), Took: r.Took.Seconds(), Status: r.Status, Reason: r.reason, Error: r.cause,
			Store: d.policy.Store, Consumer: d.policy.Consumer, ID: e.ID, Try: e.Attempts + 1,
			Field: e.Field, Account: e.Account, Conversation: e.Conversation,
		})
	}
}

// report counts and logs how an attempt failed. Nothing of the event or of the
// answer goes into the log.
func (d *Dispatcher) report(l lease, r result, o Outcome) {
	e := l.Event
	d.publish(e, r)
	if r.reason != "" && !r.cut {
		metrics.failures.WithLabelValues(d.policy.Consumer, reasonLabel(r.reason)).Inc()
	}
	if r.cut && r.stack == nil {
		message := msgCut
		if l.isLost() {
			message = msgLost
		}
		d.log(zap.WarnLevel, logKind{message, ""}, append(fields(e), zap.Int("attempt", e.Attempts+1))...)
	}
	if r.reason == "" || o.State == Dead && r.stack == nil {
		return
	}
	level, about := zap.WarnLevel, append(fields(e), zap.String("reason", r.reason), zap.Int("attempt", e.Attempts+1))
	if r.stack == nil {
		about = append(about, zap.String("cause", r.cause))
	}
	if r.retryAfter > 0 {
		about = append(about, zap.Duration("retry_after", r.retryAfter))
	}
	if !o.Due.IsZero() {
		about = append(about, zap.Time("next", o.Due))
	}
	if r.stack != nil {
		level, about = zap.ErrorLevel, append(about, zap.String("panic", r.cause), zap.ByteString("stack", r.stack))
	}
	d.log(level, logKind{msgFailed, r.reason}, about...)
}

// log logs a line, unless there was one of its kind within the last second.
func (d *Dispatcher) log(level zapcore.Level, kind logKind, about ...zap.Field) {
	if leftOut, ok := d.logLimit.Admit(kind); ok {
		d.logger.Log(level, kind.message, append(about, zap.Int("left_out", leftOut))...)
	}
}

// logOutcome counts and logs what has become of an event, once that is stored.
func (d *Dispatcher) logOutcome(e *Event, o Outcome, reason, cause string) {
	switch o.State {
	case Delivered:
		Count(ResultDelivered, d.policy.Consumer, e.Field, 1)
		metrics.seconds.WithLabelValues(d.policy.Consumer).Observe(max(0, time.Since(e.Accepted).Seconds()))
	case Dead:
		d.alertDead(reason)
		Count(ResultDead, d.policy.Consumer, e.Field, 1)
		d.log(zap.ErrorLevel, logKind{msgDead, reason}, append(fields(e), zap.String("reason", reason), zap.String("cause", cause), zap.Int("attempts", e.Attempts+1))...)
	}
}

// alertDead tells of a dead letter. Its causes are as few as the reasons of failures.
func (d *Dispatcher) alertDead(reason string) {
	reason = reasonLabel(reason)
	alert.Shared.Raise(alert.Alert{
		Kind:  alert.DeadLetter,
		Cause: "consumer " + d.policy.Consumer + ", " + reason,
		Text: "Events for the consumer " + d.policy.Consumer + " were given up and are dead letters now. The last attempt failed with: " + reason +
			". Mend the application, then send them again with 'caddy instagram queue retry'.",
		Data: map[string]any{"consumer": d.policy.Consumer, "reason": reason},
	})
}

// stuck logs that an attempt is over, but takes up room until its backend returns.
func (d *Dispatcher) stuck(e *Event) {
	d.log(zap.WarnLevel, logKind{msgStuck, ""}, append(fields(e), zap.Int("concurrency", d.policy.Concurrency))...)
}

// logStoreError logs an error of the Store.
func (d *Dispatcher) logStoreError(doing string, err error) {
	d.log(zap.ErrorLevel, logKind{msgStore, doing}, zap.String("while", doing), zap.Error(err))
}

// logSuppressed tells what was left out of the log.
func (d *Dispatcher) logSuppressed() {
	d.logLimit.Rest(func(l logKind, leftOut int) {
		d.logger.Warn("lines left out of the log", zap.String("message", l.message), zap.String("reason", l.reason), zap.Int("left_out", leftOut))
	})
}

func fields(e *Event) []zap.Field {
	return []zap.Field{zap.Uint64("id", e.ID), zap.String("identity", e.Identity), zap.String("field", e.Field)}
}
