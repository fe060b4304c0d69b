package graph

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// Secret is an access token, an app secret or a verify token. It prints as
// "[secret]", so that it does not reach a log or an error by accident.
// Convert it to a string where it is needed.
type Secret string

const secretMark = "[secret]"

// String returns a fixed text, never the secret.
func (Secret) String() string { return secretMark }

// GoString returns a fixed text, never the secret.
func (Secret) GoString() string { return secretMark }

// MarshalText returns a fixed text, never the secret. It keeps the secret out
// of JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(secretMark), nil }

// AppToken returns the access token of an app itself, which the calls about its
// callbacks need: its id and its secret. It is as secret as the app secret.
func AppToken(app string, secret Secret) Secret { return Secret(app+"|") + secret }

// proof returns the parameter appsecret_proof, which proves to graph.facebook.com
// that the caller knows the app secret, too. See Meta's "Graph API › Secure Graph API Calls".
func proof(token, appSecret Secret) string {
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}

// maxValue bounds each text of a good answer, in bytes. A real one is shorter
// than a token.
const maxValue = 4096

// sanitizeJSON takes secrets, control characters and excess length out of all texts
// of an answer in JSON: who answers knows the token, and could have its echo
// printed as a name.
func sanitizeJSON(data []byte, secrets []string) []byte {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var answer any
	if decoder.Decode(&answer) != nil {
		return data // no text will be read of it
	}
	cleaned, err := json.Marshal(sanitizeValue(answer, secrets))
	if err != nil {
		return nil
	}
	return cleaned
}

func sanitizeValue(v any, secrets []string) any {
	switch v := v.(type) {
	case string:
		return sanitize.Text(v, maxValue, secrets...)
	case []any:
		for i := range v {
			v[i] = sanitizeValue(v[i], secrets)
		}
	case map[string]any:
		for key := range v {
			v[key] = sanitizeValue(v[key], secrets)
		}
	}
	return v
}
