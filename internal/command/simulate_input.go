package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
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
	to := &simulate.Client{URL: s.to, Secret: string(secret)}
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
	switch {
	case s.fromLog != "":
		log, err := os.Open(s.fromLog)
		if err != nil {
			return nil, 0, nil, fmt.Errorf("--from-log: %w", err)
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
