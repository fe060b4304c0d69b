package check

import "slices"

// Status is what a check found.
type Status string

const (
	// OK means that nothing needs to be done.
	OK Status = "ok"

	// Warning means that deliveries work, but that something should be done.
	Warning Status = "warning"

	// Fault means that deliveries fail, or that anybody can forge them.
	Fault Status = "fault"

	// Skipped means that the check could not be made, or was not asked for.
	Skipped Status = "skipped"
)

// The names of the checks. They stay the same from version to version.
const (
	Config        = "config"
	ConfigSecrets = "config.secrets"
	ConfigLoad    = "config.load"
	ConfigCA      = "config.ca"
	ConfigPHP     = "config.php"
	DiskSpace     = "disk.space"
	DiskSync      = "disk.sync"

	QueueAccepting  = "queue.accepting"
	QueueDelivering = "queue.delivering"
	QueueDead       = "queue.dead"

	AppSecret   = "app_secret"
	CallbackURL = "url"

	DNS                    = "dns"
	Connect                = "connect"
	TLS                    = "tls"
	CertificateName        = "certificate.name"
	CertificateExpiry      = "certificate.expiry"
	CertificateChain       = "certificate.chain"
	HTTP                   = "http"
	Redirect               = "redirect"
	Addresses              = "addresses"
	Verification           = "verification"
	VerificationWrongToken = "verification.wrong_token"
	VerificationNoToken    = "verification.no_token"
	ClientCert             = "client_cert"
	DeliverySigned         = "delivery.signed"
	DeliveryUnsigned       = "delivery.unsigned"
	DeliveryWrongSignature = "delivery.wrong_signature"
	DeliveryOtherSecret    = "delivery.other_secret"
	DeliveryUnchanged      = "delivery.unchanged"
	DeliveryLarge          = "delivery.large"
	NeighbourPath          = "neighbour.path"
	NeighbourHost          = "neighbour.host"
	Time                   = "time"

	Deauthorize = "deauthorize"
	Deletion    = "deletion"

	Token        = "token"
	Subscription = "subscription"
)

// inside are the checks of the config, in order. All need the first.
var inside = []string{
	Config, ConfigSecrets, ConfigLoad, ConfigCA, ConfigPHP, DiskSpace, DiskSync,
	QueueAccepting, QueueDelivering, QueueDead,
}

// outside are the checks of the callback URL, in order. Each needs those before
// it up to Redirect.
var outside = []string{
	DNS, Connect, TLS, CertificateName, CertificateExpiry, CertificateChain, HTTP, Redirect, Addresses,
	Verification, VerificationWrongToken, VerificationNoToken,
	ClientCert, DeliverySigned, DeliveryUnsigned, DeliveryWrongSignature, DeliveryOtherSecret, DeliveryUnchanged, DeliveryLarge,
	NeighbourPath, NeighbourHost, Time,
}

// Checks returns the names of all checks, in the order in which they are made.
func Checks() []string {
	return slices.Concat(inside, []string{AppSecret, CallbackURL}, outside, []string{Deauthorize, Deletion, Token, Subscription})
}

// Finding is what one check found. Its texts hold no secret, and nothing that a
// terminal would obey.
type Finding struct {
	// Check is the name of the check.
	Check string `json:"check"`

	// Subject is what was looked at, where a check looks at several things: a
	// directory, or the name of an app secret.
	Subject string `json:"subject,omitempty"`

	// Status is how serious it is.
	Status Status `json:"status"`

	// Text says in a sentence what was found, or why the check was skipped.
	Text string `json:"text"`

	// Advice says what to do about it, if there is something to do.
	Advice string `json:"advice,omitempty"`
}

// Report is all that was found, in order.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Count returns how many findings have a status.
func (r *Report) Count(s Status) int {
	n := 0
	for _, f := range r.Findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

// Worst returns Fault if there is one, else Warning if there is one, else OK.
func (r *Report) Worst() Status {
	for _, s := range []Status{Fault, Warning} {
		if r.Count(s) > 0 {
			return s
		}
	}
	return OK
}
