package command

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// simulated is the result of simulate.
type simulated struct {
	outcome
	OK           bool   `json:"ok"`
	Verification string `json:"verification,omitempty"`
	*simulate.Summary

	// Accepted and Acknowledged are those of the Summary. They are left out where
	// the receiver does not check signatures: nobody knows what its 200 means.
	Accepted     *int `json:"accepted,omitempty"`
	Acknowledged *int `json:"acknowledged,omitempty"`

	// Signatures tells whether the receiver checks them: "checked", "not
	// checked", or "unknown".
	Signatures string `json:"signatures,omitempty"`

	Ledger   *int             `json:"ledger,omitempty"`
	Verified *simulate.Report `json:"verified,omitempty"`

	unverified   error  // why the receiver did not pass the verification
	down         bool   // nobody answered it
	finding      string // about signatures, in words
	forgedAnswer string // what a forged delivery was answered with instead of a refusal
}

// unexpected returns an error that says what the receiver did wrong.
func (r *simulated) unexpected() error {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if r.unverified != nil {
		fault("verification: %s", r.unverified)
	}
	if s := r.Summary; s != nil {
		if s.Failed > 0 {
			fault("%d of %d authentic deliveries were not accepted", s.Failed, s.Deliveries-s.Forged)
		}
		if s.ForgedAccepted > 0 {
			fault("%d of %d forged deliveries were accepted", s.ForgedAccepted, s.Forged)
		} else if r.Signatures == signaturesUnchecked {
			fault("a forged delivery is answered with %s: it is not known whether any of %d was accepted", r.forgedAnswer, s.Accepted)
		}
	}
	if v := r.Verified; v != nil && len(v.Missing) > 0 {
		fault("%d of %d acknowledged events are missing", len(v.Missing), v.Acknowledged)
	}
	if faults == nil {
		return nil
	}
	return errors.New(strings.Join(faults, "; "))
}

// unsent returns an error that says what of --from-log could not be sent.
func (r *simulated) unsent() error {
	switch s := r.Summary; {
	case s == nil:
	case s.Incomplete != "":
		return fmt.Errorf("the event file: %s; what could be read was sent", s.Incomplete)
	case s.Deliveries == 0 && s.Malformed > 0:
		return fmt.Errorf("the event file: none of the lines holds an event, of %d", s.Malformed)
	}
	return nil
}

// maxMissing is how many missing events are listed; --json lists all.
const maxMissing = 10

func (r *simulated) text(c *console) {
	row := func(name, format string, args ...any) { c.printf("%-13s %s\n", name, fmt.Sprintf(format, args...)) }
	if r.Verification != "" {
		row("verification", "%s", r.Verification)
	}
	if r.Summary != nil {
		r.summary(row)
	}
	if r.Ledger != nil {
		row("ledger", "%d events", *r.Ledger)
	}
	v := r.Verified
	if v == nil {
		return
	}
	row("verified", "%d of %d events found, %d missing%s", v.Found, v.Acknowledged, len(v.Missing),
		listing("others", v.Others, "repeated", v.Repeated, "malformed lines", v.Malformed))
	for _, why := range v.Incomplete {
		row("incomplete", "%s", why)
	}
	for _, id := range v.Missing[:min(len(v.Missing), maxMissing)] {
		row("missing", "%q", id)
	}
	if more := len(v.Missing) - maxMissing; more > 0 {
		row("missing", "and %d more, which --json lists", more)
	}
}

// summary prints how the run went.
func (r *simulated) summary(row func(name, format string, args ...any)) {
	s := r.Summary
	authentic := s.Deliveries - s.Forged
	row("deliveries", "%d%s", s.Deliveries,
		listing("duplicates", s.Duplicates, "forged", s.Forged, "unfinished", s.Unfinished, "withheld", s.Withheld))
	if r.Signatures == signaturesUnchecked {
		row("accepted", "not known; 200 to %d of %d, %d events", s.Accepted, authentic, s.Acknowledged)
	} else {
		row("accepted", "%d of %d, %d events", s.Accepted, authentic, s.Acknowledged)
	}
	if r.Signatures != "" {
		row("signatures", "%s", strings.TrimSuffix(r.Signatures+": "+r.finding, ": "))
	}
	if s.Malformed > 0 {
		row("left out", "%d malformed lines", s.Malformed)
	}
	if s.Incomplete != "" {
		row("incomplete", "%s", s.Incomplete)
	}
	if s.Forged > 0 {
		row("forged", "%d of %d accepted", s.ForgedAccepted, s.Forged)
	}
	row("requests", "%d%s, %d bytes", s.Requests, listing("retries", s.Retries), s.Bytes)
	row("answers", "%s", answers(s))
	if s.Alerts+s.Unsubscribed > 0 {
		row("accounts", "%d alerts, %d unsubscribed", s.Alerts, s.Unsubscribed)
	}
	if l := s.Latency; l != nil {
		row("latency", "p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, max %.1f ms", l.P50, l.P90, l.P99, l.Max)
	}
	row("time", "%.1f s, %.0f requests a second", s.Seconds, float64(s.Requests)/max(s.Seconds, 1e-9))
}

// listing returns the numbers that are not zero with their names, in brackets.
func listing(namesAndNumbers ...any) string {
	var parts []string
	for pair := range slices.Chunk(namesAndNumbers, 2) {
		if n := pair[1].(int); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, pair[0]))
		}
	}
	if parts == nil {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func answers(s *simulate.Summary) string {
	var parts []string
	for _, label := range slices.Sorted(maps.Keys(s.Answers)) {
		parts = append(parts, fmt.Sprintf("%s × %d", label, s.Answers[label]))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// progressDisplay shows how a run goes on the standard error.
type progressDisplay struct {
	c   *console
	bar bool // on a terminal there is a progress bar

	mu sync.Mutex
}

func newProgressDisplay(c *console) *progressDisplay {
	return &progressDisplay{c: c, bar: terminal(c.err) && os.Getenv("TERM") != "dumb"}
}

// write writes over the progress bar.
func (d *progressDisplay) write(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bar {
		text = "\r\x1b[K" + text
	}
	_, _ = io.WriteString(d.c.err, text) // nobody is left to tell
}

// notice prints what Meta would tell the developers.
func (d *progressDisplay) notice(n simulate.Notice) {
	what := "Meta would alert you"
	if n.Unsubscribed {
		what = "Meta would unsubscribe it"
	}
	d.write(fmt.Sprintf("messages of account %q have failed for %s: %s\n", n.Account, n.Failing.Round(time.Second), what))
}

// show draws a progress bar, if on a terminal, until stop is called.
func (d *progressDisplay) show(progress func() *simulate.Summary, total int) (stop func()) {
	if !d.bar {
		return func() {}
	}
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.write(bar(progress(), total))
			case <-done:
				d.write("") // takes the bar away
				return
			}
		}
	})
	return func() {
		close(done)
		ended.Wait()
	}
}

// bar returns a progress bar. The total is -1 if it is not known.
func bar(s *simulate.Summary, total int) string {
	done := s.Accepted + s.Failed + s.Forged
	if total < 0 {
		return fmt.Sprintf("%d deliveries  %s", done, answers(s))
	}
	const width = 30
	total += s.Duplicates
	filled := min(width, width*done/max(total, 1))
	return fmt.Sprintf("[%s%s] %d/%d  %s", strings.Repeat("=", filled), strings.Repeat(" ", width-filled), done, total, answers(s))
}
