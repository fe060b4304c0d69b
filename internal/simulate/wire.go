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

// UserAgent returns the User-Agent of deliveries of this family.
func (f Family) UserAgent() string {
	if f == Messaging {
		return meta.UserAgentMessaging
	}
	return meta.UserAgentChanges
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

// appendDelivery appends a POST request as it stands on the wire. The order of
// the headers is part of what is simulated, and net/http would sort them.
func appendDelivery(dst []byte, to *url.URL, family Family, secret string, body []byte) []byte {
	legacy, current := Signatures(secret, body)
	size := strconv.Itoa(len(body))
	dst = appendLine(dst, "POST ", to.RequestURI(), " HTTP/1.1")
	dst = appendLine(dst, "Host: ", to.Host)
	switch family {
	case Messaging:
		dst = appendLine(dst, "User-Agent: ", meta.UserAgentMessaging)
		dst = appendLine(dst, "Accept: */*")
		dst = appendLine(dst, "Accept-Encoding: deflate, gzip")
		dst = appendLine(dst, "Content-Type: application/json")
		dst = appendLine(dst, "X-Hub-Signature: ", legacy)
		dst = appendLine(dst, "X-Hub-Signature-256: ", current)
		dst = appendLine(dst, "Content-Length: ", size)
	default:
		dst = appendLine(dst, "User-Agent: ", meta.UserAgentChanges)
		dst = appendLine(dst, "Content-Length: ", size)
		dst = appendLine(dst, "Accept: */*")
		dst = appendLine(dst, "Content-Type: application/json")
		dst = appendLine(dst, "X-Hub-Signature: ", legacy)
		dst = appendLine(dst, "X-Hub-Signature-256: ", current)
	}
	return append(appendLine(dst), body...)
}

// appendVerification appends the GET request that Meta sends when a callback
// URL is set.
func appendVerification(dst []byte, to *url.URL, token, challenge string) []byte {
	asking := *to
	query := "hub.mode=subscribe&hub.challenge=" + url.QueryEscape(challenge) + "&hub.verify_token=" + url.QueryEscape(token)
	if asking.RawQuery != "" {
		query = asking.RawQuery + "&" + query
	}
	asking.RawQuery = query
	dst = appendLine(dst, "GET ", asking.RequestURI(), " HTTP/1.1")
	dst = appendLine(dst, "Host: ", to.Host)
	dst = appendLine(dst, "User-Agent: ", meta.UserAgentVerification)
	dst = appendLine(dst, "Accept: */*")
	return appendLine(dst)
}

func appendLine(dst []byte, parts ...string) []byte {
	for _, part := range parts {
		dst = append(dst, part...)
	}
	return append(dst, "\r\n"...)
}
