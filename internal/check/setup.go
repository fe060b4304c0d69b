package check

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/caddy-instagram/webhooks/file"
	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/internal/site"
	"github.com/caddy-instagram/webhooks/queue"
	"github.com/caddy-instagram/webhooks/signedrequest"
)

// setup is what a config says about webhooks.
type setup struct {
	webhooks []webhook
	dirs     []directory
	cas      []trustPool

	// Of the webhooks that are chosen:
	certDemanded, certForVerification bool
	maxSize                           int64

	signed      []signedHandler
	hasQueue    bool
	stores      []store           // files of queues, each once
	notFiles    []json.RawMessage // other stores of queues
	several     bool              // queues are open in the running Caddy
	admin       string            // where the admin API listens
	adminOff    bool
	secrets     []appSecret // those that are set, of all webhooks
	queued      bool        // a queue takes the deliveries
	fastCGI     int         // how many FastCGI servers take deliveries
	showsErrors []string    // those of them that may answer 200 to an error of PHP
	unbuffered  []string    // the others that may do so after output
}

// webhook is an instagram_webhook handler.
type webhook struct {
	handler.Handler
	fit
	chosen bool // it probably answers at the callback URL
}

// fit tells what around a handler fits the callback URL: the port that the server
// listens on, and the host and path matchers of the routes.
type fit struct{ host, path, port bool }

// rank is higher the better a handler fits: the host counts most, as the port may
// be another one behind a load balancer, and a rewrite can hide the path.
func (f fit) rank() (points int) {
	for i, fits := range []bool{f.port, f.path, f.host} {
		if fits {
			points += 1 << i
		}
	}
	return points
}

// directory is where events are written.
type directory struct {
	name    string
	atLeast int64 // bytes that must be free
}

// store is where a queue keeps its events.
type store struct {
	name    string // in the running Caddy: that of a file is its path
	depends bool   // on who runs this command, where, and in which environment
}

// trustPool is a source of CAs.
type trustPool struct {
	Raw json.RawMessage `caddy:"namespace=tls.ca_pool.source inline_key=provider"`

	loaded []*x509.Certificate // of the running config, in place of Raw
}

// readSetup reads what a config says about webhooks, wherever it stands: in
// subroutes, in error routes, in the routes of a queue.
func readSetup(config []byte, callback *url.URL) (*setup, error) {
	var root any
	if err := json.Unmarshal(config, &root); err != nil {
		return nil, err
	}
	s := new(setup)
	to := &http.Request{Method: http.MethodPost, Host: callback.Host, URL: callback, Header: http.Header{}}
	to = caddyhttp.PrepareRequest(to.WithContext(context.Background()), caddy.NewReplacer(), nil, nil)
	start := position{fit{host: true, path: true}, site.Place{Hosts: []string{callback.Hostname()}, Paths: []string{"/"}}}
	if err := s.walk(root, to, start); err != nil {
		return nil, err
	}
	s.choose()
	s.follow(config, to)
	return s, nil
}

// walk notes what matters of a node of the config and of all below it.
func (s *setup) walk(node any, r *http.Request, at position) error {
	switch n := node.(type) {
	case []any:
		for _, child := range n {
			if err := s.walk(child, r, at); err != nil {
				return err
			}
		}
	case map[string]any:
		raw, err := json.Marshal(n)
		if err != nil {
			return err
		}
		if err := s.note(n, raw, r.URL, at); err != nil {
			return err
		}
		if n["handle"] != nil && n["match"] != nil {
			at.host = at.host && matchersFit[caddyhttp.MatchHost](n["match"], "host", r)
			at.path = at.path && matchersFit[caddyhttp.MatchPath](n["match"], "path", r)
			at.Place = at.Behind(matchedBy(n["match"], "host"), matchedBy(n["match"], "path"))
		}
		if addresses, ok := n["listen"].([]any); ok {
			at.port = slices.ContainsFunc(addresses, func(a any) bool { return listens(a, r.URL) })
		}
		for _, key := range slices.Sorted(maps.Keys(n)) {
			if err := s.walk(n[key], r, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// position is where in the config a handler stands.
type position struct {
	fit
	site.Place
}

// matchedBy returns what the matchers with a name in a route's matcher sets match.
func matchedBy(sets any, name string) (all []string) {
	list, _ := sets.([]any)
	for _, set := range list {
		matchers, _ := set.(map[string]any)
		values, _ := matchers[name].([]any)
		for _, value := range values {
			if text, ok := value.(string); ok {
				all = append(all, text)
			}
		}
	}
	return all
}

// listens reports whether an address that a server listens on has the port of a
// URL.
func listens(address any, to *url.URL) bool {
	text, _ := address.(string)
	parsed, err := caddy.ParseNetworkAddress(text)
	if err != nil {
		return false
	}
	port, err := strconv.ParseUint(portOf(to), 10, 16)
	return err == nil && parsed.StartPort <= uint(port) && uint(port) <= parsed.EndPort
}

// matchersFit reports whether one of a route's matcher sets has no matcher of the
// kind M, or one that fits the request.
func matchersFit[M interface {
	Provision(caddy.Context) error
	MatchWithError(*http.Request) (bool, error)
}](sets any, name string, r *http.Request) bool {
	var all []map[string]json.RawMessage
	raw, err := json.Marshal(sets)
	if err != nil || json.Unmarshal(raw, &all) != nil {
		return true // Caddy will complain about it
	}
	return len(all) == 0 || slices.ContainsFunc(all, func(set map[string]json.RawMessage) bool {
		var matcher M
		if set[name] == nil || json.Unmarshal(set[name], &matcher) != nil || matcher.Provision(caddy.Context{}) != nil {
			return true
		}
		matched, err := matcher.MatchWithError(r)
		return matched || err != nil
	})
}

// note keeps what matters of one object in the config.
func (s *setup) note(object map[string]any, raw json.RawMessage, callback *url.URL, at position) error {
	switch name := object["handler"]; name {
	case "instagram_webhook":
		w := webhook{fit: at.fit}
		if err := json.Unmarshal(raw, &w.Handler); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.webhooks = append(s.webhooks, w)
	case "instagram_signed_request":
		h := new(signedrequest.Handler)
		if err := json.Unmarshal(raw, h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.noteSigned(signedHandlerFrom(h), callback, at.Place)
	case "instagram_file":
		var h file.Handler
		if err := json.Unmarshal(raw, &h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.writes(directory{name: fileDirectory(&h)})
	case "instagram_queue":
		var h queue.Handler
		if err := json.Unmarshal(raw, &h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.noteQueue(&h)
	}
	if object["provider"] != nil && (object["pem_files"] != nil || object["trusted_ca_certs"] != nil) {
		if !slices.ContainsFunc(s.cas, func(p trustPool) bool { return bytes.Equal(p.Raw, raw) }) {
			s.cas = append(s.cas, trustPool{Raw: raw})
		}
	}
	return nil
}

// noteQueue keeps what matters of a queue.
func (s *setup) noteQueue(h *queue.Handler) {
	s.hasQueue = true
	q := storeOf(h)
	if q.name == "" {
		s.notFiles = append(s.notFiles, h.StoreRaw)
		return
	}
	s.writes(directory{filepath.Dir(q.name), *cmp.Or(h.MinFreeSpace, new(int64(queue.DefaultMinFreeSpace)))})
	if !slices.Contains(s.stores, q) {
		s.stores = append(s.stores, q)
	}
}

// writes notes a directory, once.
func (s *setup) writes(d directory) {
	for i := range s.dirs {
		if s.dirs[i].name == d.name {
			s.dirs[i].atLeast = max(s.dirs[i].atLeast, d.atLeast)
			return
		}
	}
	s.dirs = append(s.dirs, d)
}

// choose marks the webhooks that fit the callback URL best.
func (s *setup) choose() {
	best := 0
	for _, w := range s.webhooks {
		best = max(best, w.rank())
	}
	for i := range s.webhooks {
		w := &s.webhooks[i]
		if w.chosen = w.rank() == best; !w.chosen {
			continue
		}
		s.certDemanded = s.certDemanded || w.ClientCert != nil
		s.certForVerification = s.certForVerification || w.ClientCert != nil && w.ClientCert.Verification
		if s.maxSize == 0 || w.MaxSize > 0 && w.MaxSize < s.maxSize {
			s.maxSize = w.MaxSize
		}
	}
}

// fileDirectory returns the directory that instagram_file writes to, as far as
// it is the same for all events.
func fileDirectory(h *file.Handler) string {
	path := caddy.NewReplacer().ReplaceKnown(h.Path, "")
	fixed, _, perEvent := strings.Cut(path, "{")
	if perEvent || h.Layout != "files" {
		fixed = filepath.Dir(fixed)
	}
	return absolute(fixed)
}

// storeOf returns the store of a queue. It has no name if it is not a file.
func storeOf(h *queue.Handler) store {
	var config struct {
		Name string `json:"module"`
		Path string `json:"path"`
	}
	if h.StoreRaw != nil && (json.Unmarshal(h.StoreRaw, &config) != nil || config.Name != "sqlite") {
		return store{}
	}
	path := caddy.NewReplacer().ReplaceKnown(config.Path, "")
	if path == "" {
		path = queue.DefaultPath()
	}
	return store{absolute(path), path != config.Path || !filepath.IsAbs(path)}
}

// loadStore returns the store of a queue, which may be of any kind. It reads what the
// options refer to, and connects to nothing.
func loadStore(raw json.RawMessage) (store, error) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	module, err := ctx.LoadModule(&queue.Handler{StoreRaw: raw}, "StoreRaw")
	if err != nil {
		return store{}, err
	}
	opener, ok := module.(queue.Opener)
	if !ok {
		return store{}, errors.New("it is not the store of a queue")
	}
	return store{name: opener.Name(), depends: true}, nil // on PGHOST and the like, if on nothing else
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// certificates reads the CAs of a trust pool as Caddy does.
func (p trustPool) certificates() ([]*x509.Certificate, error) {
	if p.Raw == nil {
		return p.loaded, nil
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	module, err := ctx.LoadModule(&p, "Raw")
	if err != nil {
		return nil, err
	}
	pool, ok := module.(caddytls.CertificateProvider)
	if !ok {
		return nil, errors.New("its provider does not show its CAs")
	}
	return pool.Certificates(), nil
}
