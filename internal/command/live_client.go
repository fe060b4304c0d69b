package command

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-instagram/webhooks/internal/live"
)

// happened is what the live feed of a running Caddy tells.
type happened struct {
	Kind live.Kind `json:"kind"`
	live.Event

	// Missed is how many events were lost on the way, in an event of its own.
	Missed uint64 `json:"missed,omitempty"`
}

// How long to wait before the feed is asked for again, and for a sign of life of it,
// which comes every 15 seconds.
const (
	afterEnd     = 100 * time.Millisecond
	afterFailure = time.Second
	signOfLife   = 45 * time.Second
)

// watch calls do with what happens until ctx ends. The feed ends with each config, and
// with the Caddy itself: then it is asked for what came since.
func (a *adminClient) watch(ctx context.Context, c *console, query url.Values, do func(*happened)) error {
	if err := a.connect(); err != nil {
		return err
	}
	f := &liveFeed{at: a.at, uri: "/instagram/live?" + query.Encode(), do: do}
	for away := false; ; {
		connected := f.connected
		err := f.read(ctx, func() {
			away = false
			if connected {
				c.note("Caddy was reloaded or restarted; this goes on.")
			} else {
				c.note("Watching the Caddy at %s; Ctrl+C ends it.", a.at)
			}
		})
		pause := afterEnd
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
		case answered(err) != nil && (!connected || answered(err).Status < http.StatusInternalServerError):
			return a.rejected(answered(err))
		case !connected:
			return a.unanswered(err)
		default:
			pause = afterFailure
			if !away {
				c.note("Caddy does not answer at %s: waiting for it.", a.at)
			}
			away = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

var errNoFeed = errors.New("what answers there has no live feed: it is no Caddy with this plugin")

// liveFeed reads the feed.
type liveFeed struct {
	at, uri   string
	do        func(*happened)
	connected bool   // once at least
	last      string // id of the last event
}

// read reads the feed until it ends. It calls begin once there is one, and returns an
// error if there is none.
func (f *liveFeed) read(ctx context.Context, begin func()) error {
	header := http.Header{"Accept": {"text/event-stream"}, "Connection": {"close"}}
	if f.last != "" {
		header.Set("Last-Event-ID", f.last)
	}
	var resp *http.Response
	err := await(ctx, func() (err error) {
		resp, err = caddycmd.AdminAPIRequest(f.at, http.MethodGet, f.uri, header, nil) //nolint:bodyclose // below
		return err
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		return errNoFeed
	}
	f.connected = true
	begin()
	silence := time.AfterFunc(signOfLife, func() { resp.Body.Close() })
	defer silence.Stop()
	defer context.AfterFunc(ctx, func() { resp.Body.Close() })()
	f.parse(resp.Body, func() { silence.Reset(signOfLife) })
	return nil
}

// parse reads server-sent events until the stream ends, and calls alive at each line.
func (f *liveFeed) parse(stream io.Reader, alive func()) {
	var id, kind, data string
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		alive()
		if name, value, _ := strings.Cut(lines.Text(), ": "); lines.Text() != "" {
			switch name {
			case "id":
				id = value
			case "event":
				kind = value
			case "data":
				data = value
			}
			continue
		}
		f.last = cmp.Or(id, f.last) // only now: a part of an event is to come again
		e := new(happened)
		if data != "" && json.Unmarshal([]byte(data), e) == nil {
			e.Kind, e.Event.Kind = live.Kind(kind), live.Kind(kind)
			f.do(e)
		}
		kind, data = "", ""
	}
}
