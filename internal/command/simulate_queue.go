package command

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-instagram/webhooks/admin"
)

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
			for _, e := range page {
				if !yield(identityOf(e.Identity), nil) {
					return
				}
			}
		}
	}
}

// identityOf returns the identity of an event, without what a queue adds to that
// of a recurring one: a slash and a rand.Text.
func identityOf(queued string) string {
	const length, alphabet = 26, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	at := strings.LastIndexByte(queued, '/')
	if at >= 0 && len(queued)-at-1 == length && strings.Trim(queued[at+1:], alphabet) == "" {
		return queued[:at]
	}
	return queued
}
