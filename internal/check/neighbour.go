package check

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// otherHost is a name that no site has.
const otherHost = "other-host.invalid"

// neighbours sends requests to paths beside the callback URL, which nothing
// should accept. Where no handler takes a request, Caddy answers with an empty
// 200, and Meta believes that.
func (r *run) neighbours() {
	path := r.url.EscapedPath()
	slash := path + "/"
	if trimmed := strings.TrimRight(path, "/"); trimmed != path {
		slash = trimmed
	}
	probes := []string{strings.TrimRight(path, "/") + "/no-such-path"}
	if slash != "" { // "/" has no spelling without it
		probes = append(probes, slash)
	}
	var paths, found []string
	var last exchange
	answers := 0
	for _, probe := range probes {
		to := *r.url
		to.RawQuery = ""
		to.Path, to.RawPath = unescaped(probe), probe
		e := r.stray("a request to another path", &to)
		if e.Err == nil {
			answers++
		}
		if what := r.acceptedHow(e); what != "" {
			paths, last = append(paths, probe), e
			if !slices.Contains(found, what) {
				found = append(found, what)
			}
		}
	}
	switch {
	case answers == 0:
		r.skip("there is no answer", NeighbourPath)
	case paths == nil:
		r.ok(NeighbourPath, "What comes to a path beside it is not answered with 200.")
	default:
		r.warn(NeighbourPath, fmt.Sprintf("What comes to %s is %s.", strings.Join(paths, " and "), strings.Join(found, ", or ")), adviceForStray(last))
	}
	r.otherHost()
}

func (r *run) otherHost() {
	to := *r.url
	to.RawQuery, to.Host = "", otherHost
	e := r.stray("a request with another Host", &to)
	switch what := r.acceptedHow(e); {
	case e.Err != nil:
		r.skip("there is no answer", NeighbourHost)
	case what == "":
		r.ok(NeighbourHost, fmt.Sprintf("Another Host does not get past instagram_webhook (%s).", e.outcome()))
	case r.url.Scheme == "https" && e.Header.Get("Server") == "Caddy":
		// Nobody comes to Caddy itself by TLS with another name than Meta looks up.
		r.ok(NeighbourHost, fmt.Sprintf("Another Host is %s. Meta sends none; a proxy before Caddy must pass Host on.", what))
	default:
		r.warn(NeighbourHost, fmt.Sprintf("What comes with another Host is %s.", what),
			"Have proxies before Caddy pass Host on (in nginx: proxy_set_header Host $host), and give Caddy a site for all other hosts that answers 404, such as 'http:// { respond 404 }'.")
	}
}

// stray sends a request that nothing should accept: an unsigned delivery, or a
// request without parameters if no deliveries are to be sent.
func (r *run) stray(what string, to *url.URL) exchange {
	if r.NoDeliveries {
		return r.get(what, to)
	}
	unsigned := &simulate.Delivery{Body: plainBodies(time.Now())[0]}
	return r.send(what, unsigned.Append(nil, to), r.Certificate)
}

// acceptedHow says how a request was accepted that should not have been, or
// returns "". Pages are for browsers, which send GET.
func (r *run) acceptedHow(e exchange) string {
	switch {
	case !e.accepted():
		return ""
	case e.unhandled():
		return "answered with an empty 200, as Caddy does where nothing takes a request"
	case r.NoDeliveries:
		return ""
	}
	return fmt.Sprintf("answered without a signature: %s", r.answered(e))
}

// unhandled reports whether an answer looks like Caddy's where no handler takes a
// request.
func (e exchange) unhandled() bool {
	return e.Status == http.StatusOK && len(e.Answer) == 0 && !e.fromApplication()
}

func adviceForStray(e exchange) string {
	if e.unhandled() {
		return "Meta takes that for delivered, should the URL there and the path here ever differ: end the site with 'handle { respond 404 }'."
	}
	return "If this reaches what takes deliveries, anybody can forge them, and if not, Meta takes that for delivered, should the URL there and the path here ever differ. Let it answer 404."
}

func unescaped(path string) string {
	if plain, err := url.PathUnescape(path); err == nil {
		return plain
	}
	return path
}
