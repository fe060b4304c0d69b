package signedrequest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/appsecret"
)

// A code is the time of its request, what tells requests of one second apart, and a part
// of the HMAC of both. So nobody can make one, and nothing need be stored.
const (
	timeSize  = 4
	nonceSize = 8
	macSize   = 13

	codeLength = (timeSize + nonceSize + macSize) * 8 / 5
)

// codeEncoding writes 25 bytes as 40 letters and digits.
var codeEncoding = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

// codeOf returns the code of a request: the same for the same request.
func (h *Handler) codeOf(secret *appsecret.Secret, r *signedRequest) string {
	if h.Kind != Deletion {
		return ""
	}
	code := binary.BigEndian.AppendUint32(make([]byte, 0, timeSize+nonceSize+macSize), uint32(r.IssuedAt))
	nonce := derive(secret, "nonce", []byte(string(r.UserID)+" "+strconv.FormatInt(r.IssuedAt, 10)))
	code = append(code, nonce[:nonceSize]...)
	mac := derive(secret, "code", code)
	return codeEncoding.EncodeToString(append(code, mac[:macSize]...))
}

// derive signs data for one purpose, which keeps it apart from all that Meta signs.
func derive(secret *appsecret.Secret, purpose string, data []byte) [sha256.Size]byte {
	key := secret.Sign([]byte("caddy-instagram confirmation " + purpose))
	mac := hmac.New(sha256.New, key[:])
	mac.Write(data)
	return [sha256.Size]byte(mac.Sum(nil))
}

// timeOf returns when the request of a code was made, if the code is one of ours.
func (h *Handler) timeOf(text string) (_ time.Time, ok bool) {
	code, err := codeEncoding.DecodeString(text)
	if err != nil || len(text) != codeLength || len(code) != timeSize+nonceSize+macSize {
		return time.Time{}, false
	}
	signed, mac := code[:timeSize+nonceSize], code[timeSize+nonceSize:]
	for _, secret := range h.secrets {
		want := derive(secret, "code", signed)
		if hmac.Equal(mac, want[:macSize]) {
			return time.Unix(int64(binary.BigEndian.Uint32(signed)), 0).UTC(), true
		}
	}
	return time.Time{}, false
}

// codeIn returns the code in the path of a request for the page, whatever handlers before
// have cut off the path.
func (h *Handler) codeIn(r *http.Request) (code string, ok bool) {
	path := r.URL.Path
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		path = original.URL.Path
	}
	code, ok = strings.CutPrefix(path, h.page)
	return code, ok && h.page != ""
}

// servePage says when the request of a code came, and of any other code that it is unknown.
func (h *Handler) servePage(w http.ResponseWriter, r *http.Request, code string) {
	status, title := http.StatusNotFound, "There is no request with this code"
	text := "Check the address: the code must be complete."
	if when, ok := h.timeOf(code); ok {
		status, title = http.StatusOK, "Your request was received"
		text = "Your request to delete data was received on " + when.Format("2 January 2006 at 15:04") +
			" UTC and was passed on to those who delete the data. Confirmation code: " + code
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Robots-Tag", "noindex")
	header.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n"+
			"<title>%s</title>\n<h1>%s</h1>\n<p>%s</p>\n", title, title, text)
	}
}
