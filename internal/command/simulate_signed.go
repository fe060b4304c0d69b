package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// signedRequestFlags are the flags that make simulate send signed requests in place of
// deliveries.
type signedRequestFlags struct{ deauthorize, deletion bool }

func (f *signedRequestFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.deauthorize, "deauthorize", false, "Send what Meta sends to the deauthorize callback, and forgeries, instead of deliveries")
	flags.BoolVar(&f.deletion, "deletion", false, "Send what Meta sends to the data deletion request callback, and forgeries, instead of deliveries")
	cmd.MarkFlagsMutuallyExclusive("deauthorize", "deletion")
	for _, other := range []string{
		"verify-token-file", "field", "file", "from-log", "test-button", "count", "batch", "rate", "concurrency",
		"duplicates", "out-of-order", "bad-signatures", "retry", "speedup", "ledger", "verify", "verify-queue",
	} {
		cmd.MarkFlagsMutuallyExclusive("deauthorize", other)
		cmd.MarkFlagsMutuallyExclusive("deletion", other)
	}
}

// wanted reports whether signed requests are to be sent.
func (f *signedRequestFlags) wanted() bool { return f.deauthorize || f.deletion }

// signedRequests is the result of simulate with signed requests.
type signedRequests struct {
	outcome
	OK      bool              `json:"ok"`
	Request string            `json:"request"`
	User    string            `json:"user"`
	Answers map[string]string `json:"answers"`
	Code    string            `json:"confirmation_code,omitempty"`
	URL     string            `json:"url,omitempty"`

	sameCode bool
}

// signedRequest returns a request of a made-up user, which the seed decides about.
func (s *simulation) signedRequest(c *console) simulate.SignedRequest {
	if !c.flags.Changed("seed") {
		s.made.Seed = rand.Uint64()
	}
	made := event.Split(sample.New(s.made.Seed).Delivery(sample.Spaced, 1, "comments"))
	return simulate.SignedRequest{User: made[0].Account, Issued: time.Now()}
}

// sendSigned sends signed requests, and says how they were answered.
func (s *simulation) sendSigned(ctx context.Context, c *console) (result, error) {
	client, _, err := s.client(c)
	if err != nil {
		return nil, noRun(err)
	}
	defer client.Close()
	request := s.signedRequest(c)
	if s.print {
		c.raw(client.SignedRequest(request))
		return nil, nil
	}
	r := &signedRequests{Request: "deauthorize", User: request.User}
	ask := client.Deauthorize
	if s.signed.deletion {
		r.Request, ask = "deletion", client.RequestDeletion
	}
	answers := ask(ctx, request)
	if ctx.Err() != nil {
		return nil, noRun(fmt.Errorf("the run was cut short: %w", ctx.Err()))
	}
	r.note(answers)
	var faults []string
	for _, problem := range answers.Problems() {
		faults = append(faults, problem.Text)
	}
	if r.OK = faults == nil; !r.OK {
		return r, errors.New(strings.Join(faults, "; "))
	}
	return r, nil
}

// note keeps the answers.
func (r *signedRequests) note(a *simulate.SignedAnswers) {
	r.Code, r.URL, r.sameCode = a.Code, a.URL, a.SameCode()
	r.Answers = map[string]string{"forged": a.Forged.Label(), "stale": a.Stale.Label(), "authentic": a.Authentic.Label()}
	if a.Authentic.OK() {
		r.Answers["repeated"] = a.Repeated.Label()
	}
	if a.URL != "" {
		r.Answers["page"] = a.Page.Label()
	}
}

func (r *signedRequests) text(c *console) {
	row := func(name, text string) { c.printf("%-13s %s\n", name, text) }
	row("request", r.Request)
	row("user", r.User)
	for _, name := range []string{"forged", "stale", "authentic"} {
		row(name, r.Answers[name])
	}
	if repeated := r.Answers["repeated"]; repeated != "" {
		if r.Code != "" && repeated == "200" {
			repeated += map[bool]string{true: ", with the same code", false: ", with another code"}[r.sameCode]
		}
		row("repeated", repeated)
	}
	if r.URL != "" {
		row("code", cmp.Or(r.Code, "none"))
		row("page", fmt.Sprintf("%s, %s", r.Answers["page"], r.URL))
	}
}
