package check

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/file"
	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/internal/inprocess"
	"github.com/caddy-instagram/webhooks/internal/site"
	"github.com/caddy-instagram/webhooks/queue"
	"github.com/caddy-instagram/webhooks/signedrequest"
)

func init() { site.Check = checkSite }

// siteTimeout bounds each step of the checks of a site: somebody waits for them at a page.
const siteTimeout = 5 * time.Second

// checkSite makes the checks of a callback URL of the running config, but sends no
// deliveries. What is missing because ctx has ended is skipped.
func checkSite(ctx context.Context, callback string) (any, error) {
	c := Checker{URL: callback, Running: true, NoDeliveries: true, Admin: askHere, Timeout: siteTimeout}
	report, err := c.Run(ctx)
	if report == nil {
		return nil, err
	}
	return report, nil
}

// runningSetup returns what the running config says about webhooks.
func runningSetup(callback string, to *url.URL) *setup {
	s := new(setup)
	site.Visit(func(h caddyhttp.MiddlewareHandler, urls []string) {
		switch h := h.(type) {
		case *handler.Handler:
			here := slices.Contains(urls, callback)
			w := webhook{fit: fit{host: here, path: here, port: here}}
			w.VerifyTokens, w.AppSecrets, w.ClientCert, w.MaxSize = h.VerifyTokens, h.AppSecrets, h.ClientCert, h.MaxSize
			s.webhooks = append(s.webhooks, w)
			if h.ClientCert != nil {
				s.cas = append(s.cas, trustPool{loaded: h.ClientCert.CAs()})
			}
		case *signedrequest.Handler:
			place := site.Place{Hosts: []string{to.Hostname()}, Paths: []string{"/"}}
			for _, at := range urls {
				if at, err := url.Parse(at); err == nil && at.Host == to.Host {
					place.Paths = append(place.Paths, at.Path)
				}
			}
			s.noteSigned(signedHandlerFrom(h), to, place)
		case *file.Handler:
			s.writes(directory{name: fileDirectory(h)})
		case *queue.Handler:
			s.hasQueue = true
			s.queued = s.queued || slices.Contains(urls, callback)
		}
	})
	for _, open := range queue.Stores() {
		if filepath.IsAbs(open.Name()) { // else it is no file
			s.writes(directory{filepath.Dir(open.Name()), queue.DefaultMinFreeSpace})
		}
	}
	s.choose()
	return s
}

// askHere asks the admin API of this process.
func askHere(ctx context.Context, _, path string, query url.Values, found any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/instagram/queue"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	answer := inprocess.Ask(new(admin.API).Handler(), r)
	if answer.Status != http.StatusOK {
		return errors.New(answer.Body.String())
	}
	return json.Unmarshal(answer.Body.Bytes(), found)
}
