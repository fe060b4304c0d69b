package check

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/appsecret"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/simulate"
	"github.com/caddy-instagram/webhooks/internal/site"
	"github.com/caddy-instagram/webhooks/signedrequest"
)

// signedHandler is an instagram_signed_request handler of the config.
type signedHandler struct {
	kind       string
	statusURL  string
	appSecrets []appsecret.AppSecret
	url        string // where it probably answers; "": unknown
	secrets    []appSecret
}

// signedHandlerFrom returns what matters of a handler.
func signedHandlerFrom(h *signedrequest.Handler) signedHandler {
	return signedHandler{kind: h.Kind, statusURL: h.StatusURL, appSecrets: h.AppSecrets}
}

// noteSigned keeps an instagram_signed_request with the URL that leads there: the first
// that is not the page of a deletion.
func (s *setup) noteSigned(h signedHandler, callback *url.URL, at site.Place) {
	for _, path := range at.Paths {
		page, err := url.Parse(strings.TrimSuffix(h.statusURL, signedrequest.CodeMark))
		if path == "/" || err == nil && h.statusURL != "" && path == page.Path {
			continue
		}
		to := url.URL{Scheme: callback.Scheme, Host: callback.Host, Path: path}
		if !slices.Contains(at.Hosts, callback.Hostname()) {
			to.Host = at.Hosts[0]
			if port := callback.Port(); port != "" {
				to.Host = net.JoinHostPort(at.Hosts[0], port)
			}
		}
		h.url = to.String()
		break
	}
	s.signed = append(s.signed, h)
}

// signedRequests checks the callbacks that are no deliveries.
func (r *run) signedRequests() {
	r.signedCallback(Deauthorize, r.DeauthorizeURL, "--deauthorize-url")
	r.signedCallback(Deletion, r.DeletionURL, "--deletion-url")
}

func (r *run) signedCallback(check, callback, flag string) {
	secrets := r.secrets
	if h := r.signedHandlerOf(check); h != nil {
		if callback == "" {
			callback = h.url
		}
		if r.AppSecret == "" {
			secrets = h.secrets
		}
		if callback == "" {
			r.skip("it is not known at which URL the instagram_signed_request of the config answers: give "+flag, check)
			return
		}
	}
	if callback == "" {
		r.skip("there is no URL to look at: "+flag+" was not given, and the config has no instagram_signed_request "+check, check)
		return
	}
	to, err := parse("the URL of "+flag, callback)
	switch {
	case err != nil:
		r.fault(check, sentence(err.Error())+".", "Give the URL that is in the App Dashboard.")
	case r.NoDeliveries:
		r.signedIsServed(check, to)
	case len(secrets) == 0:
		r.skip("there is no app secret to sign with", check)
	default:
		for _, secret := range secrets {
			r.signedAnswers(check, to, secret)
		}
	}
}

// signedHandlerOf returns the handler of a kind: if there are several, one for the host of
// the callback URL.
func (r *run) signedHandlerOf(kind string) (found *signedHandler) {
	if r.setup == nil {
		return nil
	}
	for i := range r.setup.signed {
		h := &r.setup.signed[i]
		if h.kind != kind {
			continue
		}
		if to, err := url.Parse(h.url); found == nil || err == nil && to.Host == r.url.Host {
			found = h
		}
	}
	return found
}

// signedIsServed looks whether something else than a page answers, which is all that can
// be seen if nothing is to be sent.
func (r *run) signedIsServed(check string, to *url.URL) {
	shown := withoutQuery(to)
	client := r.clientFor(to, "")
	defer client.Close()
	switch e := (exchange{"a GET request", client.Send(r.ctx, simulate.AppendGet(nil, to))}); {
	case e.Err != nil:
		r.add(Finding{check, shown, Fault, fmt.Sprintf("There is no answer: %s.", reasonOf(e.Err)), "Meta cannot call it either: compare the URL with the config."})
	case e.Status == http.StatusNotFound || e.Status/100 == 2:
		r.add(Finding{check, shown, Warning, fmt.Sprintf("A GET request is answered with %s; instagram_signed_request answers 405.", e.outcome()), "Compare the URL with the path in the config."})
	default:
		r.add(Finding{check, shown, OK, fmt.Sprintf("It answers (%s). No request was signed, so no more is known.", e.outcome()), ""})
	}
}

// signedAnswers sends signed requests as the user with the account of the Test button.
func (r *run) signedAnswers(check string, to *url.URL, secret appSecret) {
	client := r.clientFor(to, secret.key)
	defer client.Close()
	request := simulate.SignedRequest{User: meta.TestAccount, Issued: time.Now()}
	ask := client.Deauthorize
	text := "An authentic request is answered with 200; forged and old ones are refused."
	if check == Deletion {
		ask = client.RequestDeletion
		text = "An authentic request is answered with 200 and a page that can be seen; forged and old ones are refused."
	}
	answers := ask(r.ctx, request)
	subject := withoutQuery(to)
	if secret.name != "" {
		subject = secret.name + ", " + subject
	}
	problems := answers.Problems()
	if problems == nil {
		r.add(Finding{check, subject, OK, text, ""})
	}
	for _, p := range problems {
		status := Fault
		if p.Request == "stale" || p.Request == "repeated" {
			status = Warning
		}
		r.add(Finding{check, subject, status, sentence(p.Text) + ".", r.adviceForSigned(p.Request, answers.Authentic)})
	}
}

func (r *run) adviceForSigned(request string, authentic simulate.Outcome) string {
	switch request {
	case "forged":
		return "Let instagram_signed_request handle the path, before everything that takes requests, and end the site with 'handle { respond 404 }'."
	case "stale":
		return "Refuse what was issued more than a day ago, as instagram_signed_request does."
	case "repeated":
		return "Meta may send a request again: take it as the same one."
	case "answer":
		return "Meta shows both to who asked. Let 'instagram_signed_request deletion' answer, or have the application answer so."
	case "page":
		return "Who asked for the deletion cannot see how it stands: let the path of status_url lead to instagram_signed_request."
	}
	switch {
	case authentic.Err != nil:
		return r.adviceForNoAnswer(authentic.Err)
	case authentic.Status == http.StatusUnauthorized:
		return "Compare the app secret: with Instagram Login it is the Instagram app secret. If it was changed, reload Caddy with --force."
	case authentic.Status == http.StatusNotFound || authentic.Status == http.StatusMethodNotAllowed:
		return "No handler takes a POST to this path: compare it with the config."
	case authentic.Status >= http.StatusInternalServerError:
		return "What follows instagram_signed_request does not take the event: Caddy's log says why."
	}
	return "Meta wants exactly 200: let nothing before instagram_signed_request redirect or ask for a login."
}
