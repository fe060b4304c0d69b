package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/caddy-instagram/webhooks/internal/account"
	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
	"github.com/caddy-instagram/webhooks/internal/site"
)

// Expiry is when something expires that deliveries need.
type Expiry struct {
	What Expiring  `json:"what"`
	Name string    `json:"name"`
	At   time.Time `json:"at"`

	// Soon tells that it should have been renewed or replaced already.
	Soon bool `json:"soon"`
}

// Expiring is a kind of what expires.
type Expiring string

const (
	// ClientCA is the CA of Meta's client certificate that expires last, of those in a
	// trust pool of an instagram_webhook.
	ClientCA Expiring = "client_ca"

	// Certificate is that of the host of a callback URL.
	Certificate Expiring = "certificate"

	// Token is the access token of an account.
	Token Expiring = "token"
)

// tokens returns when the access tokens of the accounts expire, as far as that is known.
func tokens(ctx context.Context) (all []Expiry) {
	all = []Expiry{}
	service := account.Running()
	if service == nil {
		return all
	}
	statuses, err := service.Statuses(ctx)
	if err != nil {
		return all // GET /instagram/accounts tells
	}
	for i := range statuses {
		if t := &statuses[i].Token; !t.Expires.IsZero() {
			all = append(all, Expiry{Token, statuses[i].Account, t.Expires.UTC(), t.State == "ends" || t.State == "dead"})
		}
	}
	return all
}

// webhooks returns the callback URLs of the running config, and what deliveries need that
// expires, the next first.
func webhooks(ctx context.Context, now time.Time) (urls []string, all []Expiry) {
	urls, all = []string{}, tokens(ctx)
	for _, w := range site.Webhooks() {
		urls = append(urls, w.URLs...)
		if w.ClientCert == nil {
			continue
		}
		if ca := w.ClientCert.LastCA(); ca != nil {
			name := cmp.Or(ca.Subject.CommonName, ca.Subject.String())
			all = append(all, Expiry{ClientCA, sanitize.Text(name, 100), ca.NotAfter.UTC(), ca.NotAfter.Sub(now) < app.CAEndsSoon})
		}
	}
	slices.Sort(urls)
	urls = slices.Compact(urls)
	for _, callback := range urls {
		if e, ok := certificateOf(callback, now); ok {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b Expiry) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.What, b.What), cmp.Compare(a.Name, b.Name))
	})
	return urls, slices.Compact(all)
}

// certificateOf returns when the certificate for the host of a URL expires, if Caddy has one.
// A third of its life before, Caddy renews it.
func certificateOf(callback string, now time.Time) (e Expiry, found bool) {
	to, err := url.Parse(callback)
	if _, missing := caddy.ActiveContext().AppIfConfigured("tls"); err != nil || missing != nil {
		return e, false
	}
	for _, cert := range caddytls.AllMatchingCertificates(to.Hostname()) {
		if leaf := cert.Leaf; leaf != nil && leaf.NotAfter.After(e.At) {
			soon := leaf.NotAfter.Sub(now) < leaf.NotAfter.Sub(leaf.NotBefore)/6
			e, found = Expiry{Certificate, to.Hostname(), leaf.NotAfter.UTC(), soon}, true
		}
	}
	return e, found
}

// SiteReport is what was found out about a callback URL.
type SiteReport struct {
	URL string `json:"url"`

	// Report is that of `caddy instagram check --no-deliveries --json`.
	Report any `json:"report"`
}

// checkTimeout bounds the checks of a site.
const checkTimeout = time.Minute

// checking is held while a site is checked: each check sends requests.
var checking sync.Mutex

// checkSite finds out what is wrong with a callback URL of the running config. It calls no
// other, whatever it is asked for.
func checkSite(r *request) (any, error) {
	urls, _ := webhooks(r.Context(), time.Now())
	callback := r.query.Get("url")
	switch {
	case len(urls) == 0:
		return nil, reject(http.StatusNotFound, "the running config has no instagram_webhook")
	case callback == "" && len(urls) > 1:
		return nil, badRequest("there are several callback URLs: choose one with the parameter url: %q", urls)
	case callback == "":
		callback = urls[0]
	case !slices.Contains(urls, callback):
		return nil, reject(http.StatusNotFound, "the running config has no such callback URL; it has: %q", urls)
	}
	if site.Check == nil {
		return nil, reject(http.StatusNotImplemented, "this binary has no checks")
	}
	if !checking.TryLock() {
		return nil, reject(http.StatusConflict, "a check is under way: wait until it has ended")
	}
	defer checking.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	for _, until := range untilReplaced() {
		defer context.AfterFunc(until, cancel)()
	}
	report, err := site.Check(ctx, callback)
	return SiteReport{callback, report}, err
}
