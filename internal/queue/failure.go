package queue

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// Backend takes events. If it ends with an error instead of an answer, such as a
// *Failure, the attempt has failed, whatever was answered before.
type Backend func(http.ResponseWriter, *http.Request) error

// Failure is the error of a Backend that did not answer.
type Failure struct {
	// Status is what a server would have answered. It is 0 if that would say
	// nothing of the event.
	Status int

	// Reason is the kind of failure, for metrics and logs. If it is empty, that
	// is the status.
	Reason string

	Err error
}

// Error implements error.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// result returns how an attempt ended that failed so, and why, in words that may
// stand in a log.
func (f *Failure) result(e *Event) result {
	r := result{reason: f.Reason, status: f.Status, cause: causeOf(f.Err, e)}
	if r.reason == "" {
		r.reason = strconv.Itoa(f.Status)
	}
	if r.Error = r.cause; f.Status != 0 {
		r.Error = strconv.Itoa(f.Status) + ": " + r.cause
	}
	return r
}

// maxCause bounds what is read of the text of an error, in bytes. Of that
// maxText is kept.
const maxCause = 8 << 10

var (
	queryInText    = regexp.MustCompile(`\?[^\s"'<>]+`)
	userinfoInText = regexp.MustCompile(`://[^\s"'<>/@]*@`)
)

// causeOf returns an error, or the value of a panic, on one line that is not too
// long. Handlers may be anybody's, so what they may have repeated of the event
// and its URL is taken out: queries, user names and passwords, the signature, and
// the body.
func causeOf(err any, e *Event) string {
	text := fmt.Sprint(err) // also of an error that panics
	text = text[:min(len(text), maxCause)]
	secrets := []string{hex.EncodeToString(e.Signature[:])}
	if len(e.Body) > 0 && len(e.Body) <= maxCause {
		secrets = append(secrets, string(e.Body))
	}
	if _, query, ok := strings.Cut(e.URL, "?"); ok {
		secrets = append(secrets, query)
	}
	text = sanitize.Text(text, maxCause, secrets...)
	text = queryInText.ReplaceAllString(text, "?…")
	text = userinfoInText.ReplaceAllString(text, "://")
	return sanitize.Text(sanitize.OneLine(text), maxText)
}

// describe says what a status means.
func describe(status int, location string) string {
	text := http.StatusText(status)
	if location == "" || status/100 != 3 {
		return text
	}
	return strings.TrimPrefix(text+", to "+locationOf(location), ", ")
}

// locationOf returns where a header Location leads to, without what may be
// secret: query, fragment, user name and password.
func locationOf(header string) string {
	u, err := url.Parse(header)
	if err != nil || u.Opaque != "" {
		return "a Location that cannot be read"
	}
	u = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return sanitize.Text(sanitize.OneLine(u.String()), maxText)
}
