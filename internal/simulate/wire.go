package simulate

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// Family is one of the two ways in which Meta sends deliveries.
type Family int

const (
	// Changes is how comments, mentions and the like are sent.
	Changes Family = iota

	// Messaging is how everything that happens in conversations is sent.
	Messaging
)

// FamilyOf returns the family in which Meta sends these events: that of the
// first.
func FamilyOf(events []event.Event) Family {
	if len(events) > 0 && (events[0].Kind == event.Message || events[0].Kind == event.Standby) {
		return Messaging
	}
	return Changes
}

// Signatures returns the values of the headers X-Hub-Signature (SHA-1, for old
// receivers) and X-Hub-Signature-256 that go with body under an app secret.
func Signatures(secret string, body []byte) (legacy, current string) {
	short := hmac.New(sha1.New, []byte(secret))
	short.Write(body)
	long := hmac.New(sha256.New, []byte(secret))
	long.Write(body)
	return "sha1=" + hex.EncodeToString(short.Sum(nil)), "sha256=" + hex.EncodeToString(long.Sum(nil))
}

// Delivery is what a POST request of Meta's holds.
type Delivery struct {
	// Family decides about the headers and their order.
	Family Family

	// Body is the body.
	Body []byte

	// Legacy and Signature are the values of the headers X-Hub-Signature and
	// X-Hub-Signature-256. A header whose value is empty is left out.
	Legacy, Signature string
}

// NewDelivery returns a delivery that is signed with an app secret.
func NewDelivery(secret string, body []byte) *Delivery {
	d := &Delivery{Family: FamilyOf(event.Split(body)), Body: body}
	d.Legacy, d.Signature = Signatures(secret, body)
	return d
}

// Append appends the request to a URL as it stands on the wire. The order of the
// headers is part of what is simulated, and net/http would sort them.
func (d *Delivery) Append(dst []byte, to *url.URL) []byte {
	size := strconv.Itoa(len(d.Body))
	dst = appendStart(dst, "POST", to)
	if d.Family == Messaging {
		dst = appendHeader(dst, "User-Agent", meta.UserAgentMessaging)
		dst = appendHeader(dst, "Accept", "*/*")
		dst = appendHeader(dst, "Accept-Encoding", "deflate, gzip")
	} else {
		dst = appendHeader(dst, "User-Agent", meta.UserAgentChanges)
		dst = appendHeader(dst, "Content-Length", size)
		dst = appendHeader(dst, "Accept", "*/*")
	}
	dst = appendHeader(dst, "Content-Type", "application/json")
	dst = appendHeader(dst, meta.HeaderLegacySignature, d.Legacy)
	dst = appendHeader(dst, meta.HeaderSignature, d.Signature)
	if d.Family == Messaging {
		dst = appendHeader(dst, "Content-Length", size)
	}
	return append(append(dst, "\r\n"...), d.Body...)
}

// AppendGet appends a GET request to a URL as it stands on the wire.
func AppendGet(dst []byte, to *url.URL) []byte {
	dst = appendStart(dst, "GET", to)
	dst = appendHeader(dst, "User-Agent", meta.UserAgentVerification)
	dst = appendHeader(dst, "Accept", "*/*")
	return append(dst, "\r\n"...)
}

// VerificationURL returns what Meta gets when a callback URL is set. An empty
// token is left out, which Meta never does.
func VerificationURL(callback *url.URL, token, challenge string) *url.URL {
	query := meta.ParamMode + "=" + meta.ModeSubscribe + "&" + meta.ParamChallenge + "=" + url.QueryEscape(challenge)
	if token != "" {
		query += "&" + meta.ParamToken + "=" + url.QueryEscape(token)
	}
	to := *callback
	if to.RawQuery != "" {
		query = to.RawQuery + "&" + query
	}
	to.RawQuery = query
	return &to
}

// appendStart appends the request line and the Host header.
func appendStart(dst []byte, method string, to *url.URL) []byte {
	dst = append(dst, method+" "+to.RequestURI()+" HTTP/1.1\r\n"...)
	return appendHeader(dst, "Host", to.Host)
}

// appendHeader appends a header, unless its value is empty.
func appendHeader(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return append(dst, name+": "+value+"\r\n"...)
}
