// Package check finds out what is wrong with a callback URL: it calls it as Meta
// does, reads the config, and asks Meta what is subscribed.
package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/loopback"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// DefaultTimeout is how long each step may take: longer than Meta waits, so that a
// slow answer can be told from none.
const DefaultTimeout = 10 * time.Second

// Checker runs the checks. Its fields must not change while it does.
type Checker struct {
	// URL is the callback URL.
	URL string

	// Config is the config file of the Caddy that answers there: a Caddyfile, or
	// JSON if the name ends in .json. Empty: no config is checked.
	Config string

	// Running looks at the running config of this process instead.
	Running bool

	// DeauthorizeURL and DeletionURL are the deauthorize and the data deletion request
	// callback. Default: those of the config.
	DeauthorizeURL, DeletionURL string

	// VerifyToken is the verify token. Default: that of the config.
	VerifyToken graph.Secret

	// AppSecret is the app secret to sign with. Default: those of the config.
	AppSecret graph.Secret

	// Roots are the CAs that the server's certificate must come from. Default:
	// those of the system, which stand for those that Meta trusts.
	Roots *x509.CertPool

	// Certificate is presented where the server asks for one. nil: none.
	Certificate *tls.Certificate

	// Timeout bounds each step, such as a request from connecting to the end
	// of its answer. Default: DefaultTimeout.
	Timeout time.Duration

	// NoDeliveries sends no delivery.
	NoDeliveries bool

	// Admin sends a GET request to the queue's admin API of the running Caddy,
	// which listens at address, and decodes the answer into found. nil: the
	// running Caddy is not asked.
	Admin func(ctx context.Context, address, path string, query url.Values, found any) error

	// Graph asks Meta about the subscription. nil: Meta is not asked.
	Graph *graph.Client

	// Account is the account whose subscription is checked. Default: that of
	// the access token.
	Account string

	// App is the app that the subscription is of, if several are subscribed.
	App string

	// Fields are the fields that the account must be subscribed to. Empty: any.
	Fields []string

	// TokenWritten is when the access token was put where it is. Zero: unknown.
	TokenWritten time.Time

	// OnFinding, if not nil, is called for each finding as soon as it is there.
	OnFinding func(Finding)

	// These stand in for the network and the disk in tests.
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	sync   func(*os.File) error
	free   func(dir string) (int64, error)
}

// run is one run of a Checker.
type run struct {
	*Checker
	ctx    context.Context
	url    *url.URL
	report Report

	token   string
	secrets []appSecret
	hidden  []string // secrets, which no text may contain
	setup   *setup   // nil without a config

	certRequested bool  // the server asks for a client certificate
	certAlert     error // TLS refuses the client certificate, or that there is none
	slowest       exchange
	via           netip.Addr // to connect to; zero: any that the host has
}

// appSecret is an app secret with its name in the config, if it has one.
type appSecret struct{ name, key string }

// Run runs all checks. It returns an error if the URL cannot be called or if ctx
// ends; everything else is in the report.
func (c *Checker) Run(ctx context.Context) (*Report, error) {
	to, err := parse("the callback URL", c.URL)
	if err != nil {
		return nil, err
	}
	r := &run{Checker: c, ctx: ctx, url: to}
	r.inside()
	r.hide(string(c.VerifyToken), string(c.AppSecret))
	if c.VerifyToken != "" {
		r.token = string(c.VerifyToken)
	}
	if c.AppSecret != "" {
		r.secrets = []appSecret{{"", string(c.AppSecret)}}
	}
	r.secretForms()
	r.normalizeURL()
	r.outside()
	r.signedRequests()
	r.account()
	return &r.report, context.Cause(ctx)
}

// parse parses a URL, which its errors call what.
func parse(what, text string) (*url.URL, error) {
	to, err := url.Parse(text)
	switch { // the URL may hold a password: no error repeats it
	case err != nil:
		return nil, errors.New(what + " is not well-formed")
	case to.Scheme != "https" && to.Scheme != "http":
		return nil, errors.New(what + " must begin with https://")
	case to.Hostname() == "":
		return nil, errors.New(what + " names no host")
	case to.User != nil || to.Fragment != "":
		return nil, errors.New(what + " must have no user and no fragment")
	case to.Scheme == "http" && !loopback.Is(to.Hostname()):
		return nil, errors.New("secrets are not sent unencrypted: " + what + " must begin with https://, as Meta calls nothing else, or be on this machine")
	}
	return to, nil
}

// normalizeURL turns the URL into what Meta makes of it.
func (r *run) normalizeURL() {
	path := r.url.EscapedPath()
	if !strings.Contains(path, "+") {
		r.ok(CallbackURL, "Meta asks for the URL as it is.")
		return
	}
	r.warn(CallbackURL, "Meta asks for %20 in place of each + in the path, and so do these checks.",
		"Choose a path without +, or let instagram_webhook handle the path with spaces in its place as well.")
	normalized := *r.url
	normalized.RawPath = strings.ReplaceAll(path, "+", "%20")
	normalized.Path = unescaped(normalized.RawPath)
	r.url = &normalized
}

// hide keeps secrets out of all texts.
func (r *run) hide(secrets ...string) {
	for _, s := range secrets {
		if !slices.Contains(r.hidden, s) {
			r.hidden = append(r.hidden, s, url.QueryEscape(s))
		}
	}
	// A secret may be part of a longer one.
	slices.SortFunc(r.hidden, func(a, b string) int { return len(b) - len(a) })
}

// maxText bounds a text of a finding, in bytes.
const maxText = 600

// clean returns a text without secrets, control characters and excess length.
func (r *run) clean(text string) string { return sanitize.Text(text, maxText, r.hidden...) }

// add adds a finding. After an interruption a failure says nothing about the URL.
func (r *run) add(f Finding) {
	if r.ctx.Err() != nil && f.Status != OK {
		f.Status, f.Text, f.Advice = Skipped, "the checks were interrupted", ""
	}
	f.Subject, f.Text, f.Advice = r.clean(f.Subject), r.clean(f.Text), r.clean(f.Advice)
	r.report.Findings = append(r.report.Findings, f)
	if r.OnFinding != nil {
		r.OnFinding(f)
	}
}

func (r *run) ok(check, text string)            { r.add(Finding{check, "", OK, text, ""}) }
func (r *run) warn(check, text, advice string)  { r.add(Finding{check, "", Warning, text, advice}) }
func (r *run) fault(check, text, advice string) { r.add(Finding{check, "", Fault, text, advice}) }
func (r *run) skip(reason string, checks ...string) {
	for _, check := range checks {
		r.add(Finding{check, "", Skipped, reason, ""})
	}
}

// skipFrom skips a check of the callback URL and all those after it.
func (r *run) skipFrom(check, reason string) {
	r.skip(reason, outside[slices.Index(outside, check):]...)
}

// step returns a context for one step.
func (r *run) step() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.ctx, r.timeout())
}

func (r *run) timeout() time.Duration { return cmp.Or(max(r.Timeout, 0), DefaultTimeout) }
