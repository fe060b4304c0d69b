package handler

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/throttle"
)

// reason is a kind of refusal. Its name is the label in metrics and logs.
type reason struct {
	name   string
	status int
}

// accepted is the label of what was not refused.
const accepted = "accepted"

// All reasons. Each has its own name, so that an operator can tell them apart.
var (
	methodNotAllowed = reason{"method_not_allowed", http.StatusMethodNotAllowed}

	missingParameter  = reason{"parameter_missing", http.StatusBadRequest}
	repeatedParameter = reason{"parameter_repeated", http.StatusBadRequest}
	badParameter      = reason{"parameter_malformed", http.StatusBadRequest}
	wrongMode         = reason{"wrong_mode", http.StatusForbidden}
	wrongToken        = reason{"wrong_token", http.StatusForbidden}

	signatureMissing   = reason{"signature_missing", http.StatusUnauthorized}
	signatureRepeated  = reason{"signature_repeated", http.StatusUnauthorized}
	signatureMalformed = reason{"signature_malformed", http.StatusUnauthorized}
	signatureMismatch  = reason{"signature_mismatch", http.StatusUnauthorized}

	bodyTooLarge   = reason{"body_too_large", http.StatusRequestEntityTooLarge}
	bodyIncomplete = reason{"body_incomplete", http.StatusBadRequest}

	certNoTLS         = reason{"client_cert_no_tls", http.StatusForbidden}
	certEarlyData     = reason{"client_cert_early_data", http.StatusTooEarly}
	certNotRequested  = reason{"client_cert_not_requested", http.StatusForbidden}
	certMissing       = reason{"client_cert_missing", http.StatusForbidden}
	certUnknownIssuer = reason{"client_cert_unknown_issuer", http.StatusForbidden}
	certExpired       = reason{"client_cert_expired", http.StatusForbidden}
	certNotYetValid   = reason{"client_cert_not_yet_valid", http.StatusForbidden}
	certWrongName     = reason{"client_cert_wrong_name", http.StatusForbidden}
	certInvalid       = reason{"client_cert_invalid", http.StatusForbidden}

	untaken = reason{"untaken", http.StatusServiceUnavailable}
)

// refusalsOfDeliveries and refusalsOfVerifications are what either can be refused
// for.
var (
	refusalsOfDeliveries = append([]reason{
		methodNotAllowed, signatureMissing, signatureRepeated, signatureMalformed, signatureMismatch, bodyTooLarge, bodyIncomplete,
	}, refusalsOfCerts...)
	refusalsOfVerifications = append([]reason{
		missingParameter, repeatedParameter, badParameter, wrongMode, wrongToken,
	}, refusalsOfCerts...)
	refusalsOfCerts = []reason{
		certNoTLS, certEarlyData, certNotRequested, certMissing, certUnknownIssuer, certExpired, certNotYetValid, certWrongName, certInvalid,
	}
)

// refusal is why one request was turned away. Its error says in words what is
// wrong and what to do, and never holds a secret: it can reach the client.
type refusal struct {
	reason reason
	err    error
}

func (r reason) because(err error) *refusal { return &refusal{r, err} }

// refusalLog writes refusals at warn, at most one a second per reason, so that
// a flood of forgeries cannot fill a disk.
type refusalLog struct {
	logger *zap.Logger
	lines  throttle.Throttle[reason]
}

func newRefusalLog(logger *zap.Logger) *refusalLog { return &refusalLog{logger: logger} }

// warn logs a refusal, unless one for the same reason was logged within the
// last second.
func (l *refusalLog) warn(r *http.Request, refused *refusal) {
	leftOut, ok := l.lines.Admit(refused.reason)
	if !ok {
		return
	}
	clientIP, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	l.logger.Warn("request refused",
		zap.String("reason", refused.reason.name),
		zap.Int("status", refused.reason.status),
		zap.String("detail", refused.err.Error()),
		zap.String("client_ip", clientIP),
		zap.String("remote_addr", r.RemoteAddr),
		zap.String("method", r.Method),
		zap.Int("left_out", leftOut))
}

// close logs the counts that no later line has told.
func (l *refusalLog) close() {
	l.lines.Rest(func(why reason, leftOut int) {
		l.logger.Warn("refusals left out of the log", zap.String("reason", why.name), zap.Int("left_out", leftOut))
	})
}
