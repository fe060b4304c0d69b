package signedrequest

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/internal/appsecret"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// signedRequest is what Meta says in one. See "Facebook Login › Data Deletion Request
// Callback".
type signedRequest struct {
	Algorithm string `json:"algorithm"`
	IssuedAt  int64  `json:"issued_at"`
	UserID    id     `json:"user_id"`

	code string // for who asked
}

// id is an id, which comes as a string or as a number.
type id string

// UnmarshalJSON implements json.Unmarshaler.
func (i *id) UnmarshalJSON(text []byte) error {
	*i = id(bytes.Trim(text, `"`))
	return nil
}

// isValid reports whether it is an id of Meta's: decimal digits.
func (i id) isValid() bool {
	return i != "" && len(i) <= 40 && strings.Trim(string(i), "0123456789") == ""
}

const (
	algorithm = "HMAC-SHA256"
	maxForm   = 16 << 10       // a form has less than 1 KB
	maxAge    = 24 * time.Hour // since it was issued
	maxSkew   = 5 * time.Minute
)

// refusal is why a request is refused. Nothing in it is secret.
type refusal struct {
	reason string
	status int
	detail string
}

// All refusals.
var (
	wrongMethod  = &refusal{"method_not_allowed", http.StatusMethodNotAllowed, "only POST is understood, and GET for the page of status_url"}
	wrongForm    = &refusal{"form_malformed", http.StatusBadRequest, "the body is no form (application/x-www-form-urlencoded) with one signed_request"}
	tooLarge     = &refusal{"body_too_large", http.StatusRequestEntityTooLarge, "the form is larger than 16 KB"}
	malformed    = &refusal{"signature_malformed", http.StatusUnauthorized, "the signed_request is not a signature and a text in base64url without padding, with a dot between them"}
	mismatch     = &refusal{"signature_mismatch", http.StatusUnauthorized, "the signature matches none of the app secrets: it must be that of the app whose dashboard has this URL"}
	wrongText    = &refusal{"payload_malformed", http.StatusUnauthorized, "the signed text is no JSON with algorithm, issued_at and user_id"}
	otherMethod  = &refusal{"algorithm", http.StatusUnauthorized, "the algorithm is not HMAC-SHA256"}
	expired      = &refusal{"expired", http.StatusUnauthorized, "the request is older than a day"}
	fromTomorrow = &refusal{"not_yet_valid", http.StatusUnauthorized, "the request is from the future: check this machine's clock"}
)

// requests counts requests by what became of them.
var requests = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "caddy_instagram_signed_requests_total",
	Help: "Requests of the deauthorize and data deletion callbacks by kind and by result: accepted, failed (authentic, but the next handler did not take the event), or the reason of the refusal.",
}, []string{"kind", "result"})

func init() {
	for _, kind := range []string{Deauthorize, Deletion} {
		for _, result := range []string{"accepted", "failed"} {
			requests.WithLabelValues(kind, result)
		}
		for _, r := range []*refusal{wrongMethod, wrongForm, tooLarge, malformed, mismatch, wrongText, otherMethod, expired, fromTomorrow} {
			requests.WithLabelValues(kind, r.reason)
		}
	}
}

// encoding is that of both parts.
var encoding = base64.RawURLEncoding.Strict()

// verify returns the signed request of a form, and the secret that it was signed with. What
// is signed is not looked at before.
func (h *Handler) verify(r *http.Request) (*signedRequest, *appsecret.Secret, *refusal) {
	value, refused := readForm(r)
	if refused != nil {
		return nil, nil, refused
	}
	encodedSignature, payload, _ := strings.Cut(value, ".")
	signature, err := encoding.DecodeString(encodedSignature)
	if err != nil || len(signature) != 32 || strings.ContainsAny(value, "\r\n") { // which the decoder skips
		return nil, nil, malformed
	}
	text, err := encoding.DecodeString(payload)
	if err != nil {
		return nil, nil, malformed
	}
	for _, secret := range h.secrets {
		if sum := secret.Sign([]byte(payload)); hmac.Equal(sum[:], signature) {
			request, refused := parse(text, time.Now())
			return request, secret, refused
		}
	}
	return nil, nil, mismatch
}

// readForm returns the one signed_request of a form.
func readForm(r *http.Request) (string, *refusal) {
	if r.Method != http.MethodPost {
		return "", wrongMethod
	}
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/x-www-form-urlencoded" || r.Header.Get("Content-Encoding") != "" {
		return "", wrongForm
	}
	if r.ContentLength > maxForm {
		return "", tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if len(body) > maxForm {
		return "", tooLarge
	}
	form, parseErr := url.ParseQuery(string(body))
	if err != nil || parseErr != nil || len(form["signed_request"]) != 1 {
		return "", wrongForm
	}
	return form.Get("signed_request"), nil
}

// parse reads what was signed.
func parse(text []byte, now time.Time) (*signedRequest, *refusal) {
	var request signedRequest
	if err := json.Unmarshal(text, &request); err != nil {
		return nil, wrongText
	}
	if request.Algorithm != algorithm {
		return nil, otherMethod
	}
	if !request.UserID.isValid() || request.IssuedAt <= 0 || request.IssuedAt > maxTime {
		return nil, wrongText
	}
	switch age := now.Sub(time.Unix(request.IssuedAt, 0)); {
	case age > maxAge:
		return nil, expired
	case age < -maxSkew:
		return nil, fromTomorrow
	}
	return &request, nil
}

// maxTime is the last second that a code has room for, in 2106.
const maxTime = 1<<32 - 1

// event returns a delivery in Meta's form with one event.
func (r *signedRequest) event(kind string) ([]byte, error) {
	type object = map[string]any
	value := struct {
		UserID   id     `json:"user_id"`
		IssuedAt int64  `json:"issued_at"`
		Code     string `json:"confirmation_code,omitempty"`
	}{r.UserID, r.IssuedAt, r.code}
	return json.Marshal(struct {
		Object string   `json:"object"`
		Entry  []object `json:"entry"`
	}{meta.ObjectInstagram, []object{{
		"id": r.UserID, "time": r.IssuedAt, "changes": []object{{"field": kind, "value": value}},
	}}})
}
