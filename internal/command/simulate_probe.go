package command

import (
	"context"
	"fmt"
	"net/http"

	"github.com/caddy-instagram/webhooks/event/sample"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// verifyURL sends the verification request, and reports whether to go on. With
// --retry it goes on if nobody answers, where Meta would stop.
func (s *simulation) verifyURL(ctx context.Context, c *console, client *simulate.Client, token string, r *simulated) (bool, error) {
	o := client.Verify(ctx, token)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	r.Verification, r.unverified = "ok", o.Err
	if o.Err == nil {
		return true, nil
	}
	r.Verification = o.Err.Error()
	if !s.run.Retry || !down(o) {
		return false, nil
	}
	r.down = true
	c.note("The verification request was not answered (%s). Meta would stop here; --retry goes on.", o.Err)
	return true, nil
}

// verifyAgain sends the verification request again after a run that began while
// nobody was there.
func (r *simulated) verifyAgain(ctx context.Context, client *simulate.Client, token string) {
	if !r.down || ctx.Err() != nil {
		return
	}
	before := r.Verification
	o := client.Verify(ctx, token)
	if r.unverified = o.Err; o.Err == nil {
		r.Verification = fmt.Sprintf("ok after the run; before it, Meta would have stopped: %s", before)
	} else {
		r.Verification = fmt.Sprintf("failed before the run, where Meta would have stopped, and after it: %s", o.Err)
	}
}

// down reports whether the receiver is down: there was no connection, no answer, or
// a proxy said so. A wrong certificate is another matter.
func down(o simulate.Outcome) bool {
	if o.Status > 0 {
		return o.Status >= http.StatusInternalServerError
	}
	switch o.Label() {
	case "connect", "connection", "timeout":
		return true
	}
	return false
}

// What is known of a receiver's answers of 200.
const (
	signaturesChecked   = "checked"
	signaturesUnchecked = "not checked"
	signaturesUnknown   = "unknown"
)

// forge finds out what an answer of 200 proves. If a forged delivery gets it, too,
// an authentic one may have reached nobody: Caddy answers 200 where no handler takes
// a request. It sends what the Test button sends, which concerns nobody.
func (s *simulation) forge(ctx context.Context, client *simulate.Client, r *simulated) {
	switch {
	case r.Summary.Accepted == 0 || ctx.Err() != nil:
		return
	case r.ForgedAccepted > 0:
		r.Signatures, r.finding = signaturesUnchecked, "200 proves nothing"
		return
	case r.ForgedRefused > 0:
		r.Signatures = signaturesChecked
		return
	}
	o := client.Forge(ctx, sample.New(s.made.Seed).TestButton("comments"))
	switch {
	case o.OK():
		r.forgedAnswer = "200"
		if len(o.Answer) == 0 {
			r.forgedAnswer = "an empty 200, as Caddy does where no handler takes a request"
		}
		r.Signatures = signaturesUnchecked
		r.finding = fmt.Sprintf("a forged delivery is answered with %s, so 200 proves nothing", r.forgedAnswer)
	case o.Status > 0:
		r.Signatures = signaturesChecked
		r.finding = "a forged delivery is answered with " + o.Label()
	default:
		r.Signatures = signaturesUnknown
		r.finding = fmt.Sprintf("no answer to a forged delivery (%s), so what 200 means is not known", o.Label())
	}
}
