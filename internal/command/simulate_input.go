package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// client returns the client, and the verify token or "".
func (s *simulation) client(c *console) (*simulate.Client, string, error) {
	secret, err := s.secret.lookup(c)
	if err != nil {
		return nil, "", err
	}
	token, err := s.token.lookup(c)
	if err != nil {
		return nil, "", err
	}
	switch only := c.flags.Changed("count") && s.count == 0; {
	case only && token == "":
		return nil, "", s.token.missing()
	case !only && secret == "":
		return nil, "", s.secret.missing()
	}
	to := &simulate.Client{URL: cmp.Or(s.to, printedURL), Secret: string(secret)}
	if to.Roots, to.Certificate, err = s.tls.read(true); err != nil {
		return nil, "", err
	}
	if err := to.Validate(); err != nil {
		return nil, "", fmt.Errorf("--to: %w", err)
	}
	s.secret.warn(c, secret)
	return to, string(token), nil
}

// deliveries returns what is to be sent, how many these are at most, or -1 for
// all there are, and a function that ends it.
func (s *simulation) deliveries(c *console) (_ simulate.Deliveries, total int, end func(), _ error) {
	end = func() {}
	total = s.count
	counted := c.flags.Changed("count")
	if !c.flags.Changed("seed") {
		s.made.Seed = rand.Uint64()
	}
	switch {
	case s.fromLog != "":
		log, err := os.Open(s.fromLog)
		if err != nil {
			return nil, 0, nil, fmt.Errorf("the event file: %w", err)
		}
		end = func() { _ = log.Close() } // it was only read
		all := simulate.Replay(untilNow(log), s.made.Batch)
		if !counted {
			return all, -1, end, nil
		}
		return simulate.Take(all, total), total, end, nil
	case s.file != "":
		body, err := readFile(s.file, maxBody)
		if err != nil {
			return nil, 0, nil, fmt.Errorf("--file: %w", err)
		}
		if !counted {
			total = 1
		}
		return simulate.Take(simulate.Repeat(body), total), total, end, nil
	}
	if !counted {
		total = len(s.made.Fields)
	}
	if !c.flags.Changed("seed") {
		s.made.Now = time.Now
	}
	return simulate.Take(s.made.Deliveries(), total), total, end, nil
}

// printedURL is where printed deliveries go to, unless --to says it.
const printedURL = "https://hooks.example.com/webhooks"

// show prints the deliveries as they would be sent, with an empty line between them.
func (s *simulation) show(ctx context.Context, c *console) error {
	client, _, err := s.client(c)
	if err != nil {
		return err
	}
	deliveries, _, end, err := s.deliveries(c)
	if err != nil {
		return err
	}
	defer end()
	between := ""
	for body, err := range deliveries {
		switch {
		case errors.Is(err, simulate.ErrMalformed):
			c.note("Left out: %s", err)
			continue
		case err != nil:
			return err
		}
		request := append([]byte(between), client.Request(body)...)
		between = "\r\n\r\n"
		if err := await(ctx, func() error { c.raw(request); return c.outputErr }); err != nil {
			return err
		}
	}
	return nil
}

// untilNow reads a regular file as far as it goes now: the receiver may add to it
// for ever.
func untilNow(file *os.File) io.Reader {
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		return io.LimitReader(file, info.Size())
	}
	return file
}

// share is a flag for a fraction, from 0 to 1.
type share float64

// Set reads a number from 0 to 1, or one from 0 to 100 with a percent sign.
func (s *share) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	value, err := strconv.ParseFloat(number, 64)
	if percent {
		value /= 100
	}
	if err != nil || !(value >= 0 && value <= 1) {
		return errors.New("it must be a percentage such as 5%, or a number from 0 to 1")
	}
	*s = share(value)
	return nil
}

// String returns the share as a number from 0 to 1.
func (s *share) String() string { return strconv.FormatFloat(float64(*s), 'f', -1, 64) }

// Type returns the name of the flag's value in help texts.
func (s *share) Type() string { return "share" }

// compare verifies a ledger without a run.
func (s *simulation) compare(ctx context.Context, _ *console, r *simulated) error {
	ledger, err := simulate.ReadLedger(s.ledger)
	if err != nil {
		return err
	}
	r.Ledger = new(ledger.Len())
	return s.verifyLedger(ctx, r, ledger)
}

// verifyLedger looks for the events of the ledger where the flags say.
func (s *simulation) verifyLedger(ctx context.Context, r *simulated, ledger *simulate.Ledger) (err error) {
	switch {
	case s.verifyQueue:
		r.Verified, err = ledger.Verify(queued(ctx, &s.queue))
	case len(s.verify) > 0:
		r.Verified, err = ledger.Verify(simulate.EventFiles(s.verify...))
	}
	if err != nil {
		return fmt.Errorf("verifying the ledger: %w", err)
	}
	return nil
}

// queued returns the identities of all events in a queue, the newest first. Only
// a page of the list is in memory at a time. Events that are accepted meanwhile
// do not come.
func queued(ctx context.Context, a *adminClient) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for page, err := range a.events(ctx, url.Values{"limit": {strconv.Itoa(admin.MaxLimit)}}) {
			if err != nil {
				yield("", err)
				return
			}
			for _, e := range distinct(page) {
				if !yield(identityOf(e.Identity), nil) {
					return
				}
			}
		}
	}
}

// identityOf returns the identity of an event without what a queue adds to one that
// is not unique: a slash and a rand.Text.
func identityOf(queued string) string {
	const length, alphabet = 26, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	at := strings.LastIndexByte(queued, '/')
	if at >= 0 && len(queued)-at-1 == length && strings.Trim(queued[at+1:], alphabet) == "" {
		return queued[:at]
	}
	return queued
}
