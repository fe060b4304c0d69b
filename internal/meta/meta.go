// Package meta holds the numbers and names of Meta's that more than one package
// needs, each with the section of Meta's documentation that it is from.
package meta

import "time"

// What Meta sends at most, and how long it waits.
const (
	// MaxUpdates is the most updates that Meta puts into one delivery. See
	// "Webhooks › Getting started › Event notifications".
	MaxUpdates = 1000

	// AnswerWithin is how long Meta waits for an answer to a delivery. See
	// "Instagram Messaging › Webhooks".
	AnswerWithin = 5 * time.Second
)

// What Meta does about a receiver that fails.
const (
	// RetryFor is how long a delivery is sent again, less and less often,
	// before it is dropped. See "Webhooks › Getting started › Event
	// notifications".
	RetryFor = 36 * time.Hour

	// AlertAfter is how long messages of an account must fail before Meta
	// alerts the app's developers. See "Messenger Platform › Webhooks".
	AlertAfter = 15 * time.Minute

	// UnsubscribeAfter is how long messages of an account must fail before the
	// app gets no more of them until it subscribes again. See "Messenger
	// Platform › Webhooks".
	UnsubscribeAfter = time.Hour
)

// What stands in every event of the Test button, which the App Dashboard has
// beside each field. See "Webhooks › Getting started › Test". Real ids have 15
// digits or more.
const (
	TestAccount   = "0"
	TestSender    = "12334"
	TestRecipient = "23245"
	TestMessage   = "random_mid" // the id of the message
)

// The User-Agent headers of Meta's senders. Meta does not document them; they
// are those of captured requests.
const (
	// UserAgentVerification sends the verification request.
	UserAgentVerification = "facebookplatform/1.0 (+http://developers.facebook.com)"

	// UserAgentChanges sends what comes under "changes", such as comments.
	UserAgentChanges = "Webhooks/1.0 (https://fb.me/webhooks)"

	// UserAgentMessaging sends what happens in conversations.
	UserAgentMessaging = "facebookexternalua"
)

// The parameters of the verification request. See "Webhooks › Getting started ›
// Verification requests".
const (
	ParamMode      = "hub.mode"
	ParamChallenge = "hub.challenge"
	ParamToken     = "hub.verify_token"

	// ModeSubscribe is the only value of hub.mode.
	ModeSubscribe = "subscribe"
)

// The headers with the signature of a delivery. See "Webhooks › Getting started
// › Validating payloads".
const (
	// HeaderSignature holds "sha256=" and the HMAC-SHA256 of the body, in
	// hexadecimal digits.
	HeaderSignature = "X-Hub-Signature-256"

	// HeaderLegacySignature holds "sha1=" and the HMAC-SHA1 of the body, for
	// old receivers. It is never enough.
	HeaderLegacySignature = "X-Hub-Signature"
)

// ClientCommonName is the subject common name of Meta's client certificate. See
// "Webhooks › Getting started › mTLS for webhooks".
const ClientCommonName = "client.webhooks.fbclientcerts.com"

// ObjectInstagram is the object of Instagram's own deliveries. See "Instagram
// Platform › Webhooks".
const ObjectInstagram = "instagram"
