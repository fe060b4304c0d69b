package graph

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// Secret is an access token, an app secret or a verify token. It prints as
// "[secret]", so that it does not reach a log or an error by accident.
// Convert it to a string where it is needed.
type Secret string

const hidden = "[secret]"

// String returns a fixed text, never the secret.
func (Secret) String() string { return hidden }

// GoString returns a fixed text, never the secret.
func (Secret) GoString() string { return hidden }

// MarshalText returns a fixed text, never the secret. It keeps the secret out
// of JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// AppToken returns the access token of an app itself, which the calls about its
// callbacks need: its id and its secret. It is as secret as the app secret.
func AppToken(app string, secret Secret) Secret { return Secret(app+"|") + secret }

// proof proves to graph.facebook.com that who has the token also has the app
// secret. See Meta's "Graph API › Secure Graph API Calls".
func proof(token, appSecret Secret) string {
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}
