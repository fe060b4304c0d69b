package graph

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// Error is what the Graph API says when it refuses a call. See Meta's
// "Graph API › Handle Errors". Its texts hold no secret of the client, and
// nothing that a terminal would obey.
type Error struct {
	// Status is the status of the HTTP response.
	Status int `json:"-"`

	// Code and Subcode tell what is wrong. 0 where Meta gave none, or where
	// something else than the Graph API answered.
	Code    int `json:"code"`
	Subcode int `json:"error_subcode"`

	// Type is the class of the error, such as OAuthException.
	Type string `json:"type"`

	// Message is meant for developers, UserTitle and UserMessage for users.
	Message     string `json:"message"`
	UserTitle   string `json:"error_user_title"`
	UserMessage string `json:"error_user_msg"`

	// Transient is set if Meta says that the error passes.
	Transient bool `json:"is_transient"`

	// TraceID is what Meta's support asks for.
	TraceID string `json:"fbtrace_id"`

	// RetryAfter is how long Meta will throttle, if it said so.
	RetryAfter time.Duration `json:"-"`

	usage   float64 // the highest percentage of a limit that is used up
	notMeta bool    // something other than the Graph API answered
}

// Error implements the error interface.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for _, more := range []string{e.UserTitle, e.UserMessage} {
		if more != "" && !strings.Contains(e.Message, more) {
			b.WriteString(": " + more)
		}
	}
	var details []string
	for _, d := range []struct{ name, value string }{
		{"code", strconv.Itoa(e.Code)}, {"subcode", strconv.Itoa(e.Subcode)}, {"type", e.Type}, {"fbtrace_id", e.TraceID},
	} {
		if d.value != "" && d.value != "0" {
			details = append(details, d.name+" "+d.value)
		}
	}
	if details != nil {
		fmt.Fprintf(&b, " (%s)", strings.Join(details, ", "))
	}
	return b.String()
}

// Throttled reports whether Meta refused because there were too many calls.
func (e *Error) Throttled() bool {
	return slices.Contains([]int{4, 17, 32, 613}, e.Code) || 80000 <= e.Code && e.Code <= 80014 ||
		e.Status == http.StatusTooManyRequests
}

// Passes reports whether the same call may succeed a little later.
func (e *Error) Passes() bool {
	return e.Transient || e.Code == 1 || e.Code == 2 || e.Throttled() || e.Code == 0 && e.Status >= 500
}

// Subcodes of code 190 (see Meta's "Graph API › Handle Errors").
const (
	passwordChanged = 460
	tokenExpired    = 463
	tokenInvalid    = 467
)

// messagesOff is the subcode of code 200 for an account that does not allow
// access to its messages.
const messagesOff = 2534041

// noSuchObject is the subcode of code 100 for an object that is not there or
// not to be seen.
const noSuchObject = 33

// Advice says in a sentence or two what to do about the error.
func (e *Error) Advice() string {
	switch {
	case e.notMeta:
		return "Something else than Meta answered. Check the URL of the Graph API and the proxies on the way."
	case e.Code == 190 && e.Subcode == tokenExpired:
		return "The access token has expired, and with it the account's webhooks. An expired token cannot be refreshed: get a new one."
	case e.Code == 190 && e.Subcode == passwordChanged:
		return "The user changed the password, which ends all access tokens. Let the user log in again and get a new one."
	case e.Code == 190 && e.Subcode == tokenInvalid:
		return "The user logged out or took the app's rights away. Let the user log in again and get a new access token."
	case e.Code == 190:
		return "The access token is not valid here. Check that it is whole, that it belongs to the login in use, and " +
			"that the app id and secret are of the same app."
	case strings.Contains(e.Message, "appsecret_proof"):
		return "Give the secret of the very app that the access token was made for."
	case strings.HasPrefix(e.Message, "Unsupported request"), strings.Contains(e.Message, "Unsupported get request"), e.Code == 100 && e.Subcode == noSuchObject:
		return "The id is wrong, or the token may not see it. Use the numeric id that belongs to the login: of the " +
			"Instagram professional account, or with Facebook Login of the Page. Check that the account has a role " +
			"on the app or granted it access."
	case e.Code == 100:
		return "A parameter is wrong; the message names it, and nothing was changed. A field needs the app itself to " +
			"be subscribed to it first."
	case e.Code == 200 && e.Subcode == messagesOff:
		return "The account has switched the access to its messages off. Let its owner switch “Allow access to " +
			"messages” on, in the settings of the Instagram app (messages, connected tools), and subscribe it again."
	case e.Code == 3:
		return "The app may not make this call. A new login does not help: the app needs Advanced Access to the " +
			"permission, or the account a role on the app."
	case e.Code == 10, 200 <= e.Code && e.Code <= 299:
		return "The access token lacks a permission. Add it to the app, get Advanced Access for accounts that are " +
			"not yours, and let the user log in again."
	case e.Code == 2200:
		return "Meta called the callback URL, and it did not answer with the challenge. It must be reachable from " +
			"the internet with a certificate of a public CA, must not redirect, and needs the same verify token. Its " +
			"log says what it refused."
	case e.Throttled() && e.RetryAfter > 0:
		return fmt.Sprintf("There were too many calls. Try again in %s.", e.RetryAfter)
	case e.Throttled():
		return "There were too many calls. Try again later: those of an app are counted over an hour, those of an account over a day."
	case e.Passes():
		return "Meta has a passing problem. Try again later."
	default:
		return "Meta's documentation of the Graph API lists the codes. Quote fbtrace_id when you ask Meta."
	}
}

// maxText bounds each text of an error, in bytes.
const maxText = 1000

// clean takes secrets, control characters and excess length out of the texts.
// Meta repeats a token that it cannot read, and what a callback answered.
func (e *Error) clean(secrets []string) {
	for _, text := range []*string{&e.Type, &e.Message, &e.UserTitle, &e.UserMessage, &e.TraceID} {
		*text = sanitize.Text(*text, maxText, secrets...)
	}
	if e.Message == "" {
		e.Message = "no message"
	}
}
