package command

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-instagram/webhooks/admin"
)

// queued returns the identities of all events in a queue, the newest first. Only
// a page of the list is in memory at a time. Events that are accepted meanwhile
// do not come.
func queued(ctx context.Context, g *gateway) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		query := url.Values{"limit": {strconv.Itoa(admin.MaxLimit)}}
		for {
			var page []struct { // what is needed of admin.Event
				ID       uint64 `json:"id"`
				Identity string `json:"identity"`
			}
			if err := g.look(ctx, http.MethodGet, "/events", query, &page); err != nil {
				yield("", err)
				return
			}
			if len(page) == 0 {
				return
			}
			for _, e := range page {
				if !yield(identityOf(e.Identity), nil) {
					return
				}
			}
			query.Set("before", strconv.FormatUint(page[len(page)-1].ID, 10))
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
