package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// fromApplication reports whether the answer came from behind Caddy, which replaces
// its own Server header by a Via header in what it passes on.
func (e exchange) fromApplication() bool {
	return e.Header.Get("Server") != "Caddy" && strings.Contains(strings.Join(e.Header.Values("Via"), ","), "Caddy")
}

// answered says in words who answered what.
func (r *run) answered(e exchange) string {
	who := "the server"
	if e.fromApplication() {
		who = "the application"
	}
	text := fmt.Sprintf("%s answered %d", who, e.Status)
	if e.redirects() {
		text += " to " + shortRedirect(r.url, e.Header)
	} else if server := e.Header.Get("Server"); server != "" && server != "Caddy" && !e.fromApplication() {
		text += fmt.Sprintf(" (%q)", server[:min(len(server), 40)])
	}
	return text
}

func (e exchange) redirects() bool { return e.Status >= 300 && e.Status < 400 }

// shortRedirect is redirectTarget without what it has in common with the URL.
func shortRedirect(from *url.URL, header http.Header) string {
	to := redirectTarget(from, header)
	if path, same := strings.CutPrefix(to, from.Scheme+"://"+from.Host+"/"); same {
		return "/" + path
	}
	return to
}

// queued reports whether a queue answers the deliveries, as far as the config
// tells.
func (r *run) queued() bool { return r.setup != nil && r.setup.queued }

// adviceFor says what to do about an answer that should be 200.
func (r *run) adviceFor(e exchange) string {
	switch {
	case e.Err != nil:
		return r.adviceForNoAnswer(e.Err)
	case e.Status > 200 && e.Status < 300:
		return "Have the application answer 200, or put accept_2xx into instagram_webhook, which makes 200 of every other 2xx."
	case e.redirects():
		return "Meta follows no redirect. To a login: take this path out of what asks for one. To https: have the application believe X-Forwarded-Proto. To a path with or without slash: use the one that it leads to."
	case e.fromApplication():
		return adviceForApplication(e.Status)
	}
	switch e.Status {
	case http.StatusNotFound:
		return "Nothing serves this path: compare it with the one in the config."
	case http.StatusMethodNotAllowed:
		return "Both GET and POST must reach instagram_webhook."
	case http.StatusRequestEntityTooLarge:
		return "A limit for bodies is too low, in Caddy or in a proxy before it."
	case http.StatusTooManyRequests:
		return "Something before Caddy limits how many requests come: let Meta's pass."
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return "A proxy does not reach what is behind it: start that, and compare the address. If the proxy is Caddy, instagram_queue keeps deliveries until the application is back."
	case http.StatusServiceUnavailable:
		if r.queued() {
			return "The queue cannot store the delivery, because of the disk, max_pending or min_free_space: Caddy's log says which."
		}
		return "No handler after instagram_webhook takes the delivery, or instagram_file or instagram_queue cannot store it: Caddy's log says which."
	}
	if e.Status >= http.StatusInternalServerError {
		return "A handler in Caddy, or a proxy before it, fails: its log has a line with this status and the cause."
	}
	return "instagram_webhook gives no such answer: find what else takes this path, in Caddy or before it."
}

// adviceForApplication says what to do about a status that the application answered.
func adviceForApplication(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "The application asks for a login or a token, or checks the signature with another secret: take this path out of that, as Caddy has authenticated the delivery."
	case http.StatusNotFound:
		return "The application has no route for this path: compare it with what rewrite, uri or handle_path leave of it."
	case http.StatusMethodNotAllowed:
		return "The application has no route for POST at this path."
	case http.StatusBadRequest, 419, http.StatusUnprocessableEntity:
		return "The application does not like the request: often it wants a CSRF token (Rails, Laravel), or knows another Host (Django). Take this path out of that, and let it take the host."
	case http.StatusRequestEntityTooLarge:
		return "The application's limit for bodies is too low."
	case http.StatusTooManyRequests:
		return "The application limits how many requests come: let Meta's pass."
	}
	if status >= http.StatusInternalServerError {
		return "The application's log has the cause. instagram_queue in front of it keeps deliveries until it takes them."
	}
	return "Have the application answer 200."
}

// adviceForNoAnswer says what to do about a request that failed without an answer.
func (r *run) adviceForNoAnswer(err error) string {
	switch late := errors.Is(err, context.DeadlineExceeded); {
	case late && r.queued():
		return "Meta gives up after five seconds. The queue answers as soon as the events are on disk: see disk.sync, and look for a proxy before Caddy that holds requests."
	case late:
		return "Meta gives up after five seconds. Answer first and work afterwards: put instagram_queue in front of the application. If there is one, look for a proxy or a firewall before Caddy that holds requests."
	}
	return "Something ends the connection: a proxy or a firewall before Caddy, abort in its config, or an application that breaks off."
}
