package simulate

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// SignedRequest is what Meta posts to the deauthorize and the data deletion request
// callback of an app. Both get the same.
type SignedRequest struct {
	// User is the id of the user of the app.
	User string

	// Issued is when Meta signed it.
	Issued time.Time
}

// sign returns the value of the form: a signature of the encoded text, and that text.
func (s SignedRequest) sign(secret string) string {
	text := fmt.Sprintf(`{"user_id":%q,"algorithm":"HMAC-SHA256","issued_at":%d}`, s.User, s.Issued.Unix())
	encoded := base64.RawURLEncoding.EncodeToString([]byte(text))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(encoded))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) + "." + encoded
}

// append appends the request to a URL as it stands on the wire.
func (s SignedRequest) append(dst []byte, to *url.URL, secret string) []byte {
	body := "signed_request=" + url.QueryEscape(s.sign(secret))
	dst = appendStart(dst, http.MethodPost, to)
	dst = appendHeader(dst, "User-Agent", meta.UserAgentVerification)
	dst = appendHeader(dst, "Content-Length", strconv.Itoa(len(body)))
	dst = appendHeader(dst, "Accept", "*/*")
	dst = appendHeader(dst, "Content-Type", "application/x-www-form-urlencoded")
	return append(append(dst, "\r\n"...), body...)
}

// SignedRequest returns an authentic request as it stands on the wire. The URL must be
// valid.
func (c *Client) SignedRequest(s SignedRequest) []byte {
	if c.Validate() != nil {
		return nil
	}
	return s.append(nil, c.to, c.Secret)
}

// staleAge is the age of a request that is to be refused as too old.
const staleAge = 48 * time.Hour

// maxCode and maxPage bound what is taken from the answer to a deletion, in bytes.
const (
	maxCode = 256
	maxPage = 2048
)

// SignedAnswers is how a receiver answered signed requests.
type SignedAnswers struct {
	// Forged is the answer to a request that is signed with another secret, and
	// Stale that to an authentic one of two days ago. Both must be refused.
	Forged, Stale Outcome

	// Authentic is the answer to an authentic request, and Repeated that to the
	// same request again.
	Authentic, Repeated Outcome

	// Code and URL are what the answer to a deletion says: the confirmation code, and
	// the address of the page for who asked. Page is the answer of that page.
	Code, URL string
	Page      Outcome

	deletion, sameCode bool
}

// Deauthorize sends the requests that Meta sends when an account removes an app, and
// forged and old ones.
func (c *Client) Deauthorize(ctx context.Context, s SignedRequest) *SignedAnswers {
	a := new(SignedAnswers)
	a.ask(ctx, c, s)
	return a
}

// RequestDeletion sends the requests that Meta sends when somebody asks for the deletion
// of data, forged and old ones, and gets the page that the answer names.
func (c *Client) RequestDeletion(ctx context.Context, s SignedRequest) *SignedAnswers {
	a := &SignedAnswers{deletion: true}
	a.ask(ctx, c, s)
	if a.Code, a.URL = confirmation(a.Authentic); a.URL == "" {
		return a
	}
	again, _ := confirmation(a.Repeated)
	a.sameCode = again == a.Code
	page := &Client{URL: a.URL, Roots: c.Roots, Timeout: c.Timeout, Dial: c.Dial}
	defer page.Close()
	if err := page.Validate(); err != nil {
		a.Page.Err = errors.New("the address is not one of http:// or https:// without a user")
		return a
	}
	a.Page = page.Send(ctx, AppendGet(nil, page.to))
	return a
}

func (a *SignedAnswers) ask(ctx context.Context, c *Client, s SignedRequest) {
	send := func(s SignedRequest, secret string) Outcome {
		if err := c.Validate(); err != nil {
			return Outcome{Err: err}
		}
		return c.Send(ctx, s.append(nil, c.to, secret))
	}
	a.Forged = send(s, forgedKey)
	a.Stale = send(SignedRequest{s.User, s.Issued.Add(-staleAge)}, c.Secret)
	if a.Authentic = send(s, c.Secret); a.Authentic.OK() {
		a.Repeated = send(s, c.Secret)
	}
}

// confirmation returns what the answer to a deletion says.
func confirmation(o Outcome) (code, page string) {
	var answer struct {
		URL  string `json:"url"`
		Code string `json:"confirmation_code"`
	}
	if !o.OK() || json.Unmarshal(o.Answer, &answer) != nil {
		return "", ""
	}
	return sanitize.Text(answer.Code, maxCode), sanitize.Text(answer.URL, maxPage)
}

// Problem is what is wrong with the answer to a signed request.
type Problem struct {
	// Request says which: "authentic", "repeated", "forged", "stale", "answer" for what
	// the answer to a deletion says, or "page".
	Request string

	// Text is a sentence without a full stop.
	Text string
}

// Problems returns what is wrong with the answers.
func (a *SignedAnswers) Problems() (found []Problem) {
	problem := func(request, format string, args ...any) {
		found = append(found, Problem{request, fmt.Sprintf(format, args...)})
	}
	if a.Forged.accepted() {
		problem("forged", "a request that is signed with another secret is answered with %d: anybody can send one, or no handler takes it", a.Forged.Status)
	}
	if a.Stale.accepted() && !a.Forged.accepted() {
		problem("stale", "a request of two days ago is answered with %d: who has seen one can send it for ever", a.Stale.Status)
	}
	switch {
	case !a.Authentic.OK():
		problem("authentic", "an authentic request is answered with %s, not with 200", a.Authentic.inWords())
		return found
	case !a.Repeated.accepted() && !a.Repeated.refused():
		problem("repeated", "the same request again is answered with %s", a.Repeated.inWords())
	}
	if !a.deletion {
		return found
	}
	switch {
	case a.URL == "" || a.Code == "":
		problem("answer", "the answer is no JSON with url and confirmation_code")
	case strings.Trim(strings.ToLower(a.Code), "abcdefghijklmnopqrstuvwxyz0123456789") != "":
		problem("answer", "the confirmation_code has other characters than letters and digits")
	}
	if a.URL != "" && !a.Page.OK() {
		problem("page", "the page %s is answered with %s, not with 200", a.URL, a.Page.inWords())
	}
	return found
}

// SameCode reports whether the same request again got the same code.
func (a *SignedAnswers) SameCode() bool { return a.sameCode }

func (o Outcome) accepted() bool { return o.Status/100 == 2 }

func (o Outcome) refused() bool { return o.Status/100 == 4 }

// inWords returns the status, or why there is none.
func (o Outcome) inWords() string {
	if o.Status > 0 {
		return strconv.Itoa(o.Status)
	}
	return fmt.Sprintf("nothing (%v)", o.Err)
}
