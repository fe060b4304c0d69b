package handler

import (
	"errors"
	"net/http"

	"go.uber.org/zap"
)

// reason is a kind of rejection. Its name is the label in metrics and logs.
type reason struct {
	name   string
	status int
}

// accepted is the label of what was not rejected.
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

	// unhandled is the one reason for which an authentic delivery is rejected.
	unhandled = reason{"untaken", http.StatusServiceUnavailable}
)

// What deliveries and verification requests can be rejected for, before they are
// authentic.
var (
	deliveryReasons = append([]reason{
		methodNotAllowed, signatureMissing, signatureRepeated, signatureMalformed, signatureMismatch,
		bodyTooLarge, bodyIncomplete,
	}, certReasons...)
	verificationReasons = append([]reason{
		missingParameter, repeatedParameter, badParameter, wrongMode, wrongToken,
	}, certReasons...)
	certReasons = []reason{
		certNoTLS, certEarlyData, certNotRequested, certMissing, certUnknownIssuer,
		certExpired, certNotYetValid, certWrongName, certInvalid,
	}
)

var (
	errBadMethod = errors.New("only GET (verification) and POST (delivery) are understood")
	errNoHandler = errors.New("no handler took the delivery: none after instagram_webhook matches it, " +
		"or the one that does wrote no answer; " +
		"put instagram_queue, instagram_file, reverse_proxy, php_fastcgi or respond there")
)

// rejection is why one request was turned away. Its error says in words what is
// wrong and what to do, and never holds a secret: it can reach the client.
type rejection struct {
	reason reason
	err    error
}

func (r reason) withCause(err error) *rejection { return &rejection{r, err} }

// lineKind tells log lines apart of which one a second is written, so that neither
// a flood of forgeries nor a full disk fills the log.
type lineKind struct {
	logger *zap.Logger

	// summary is the message of the line that tells, at the end of a config, how
	// many lines of this kind were left out. It has a field with this key and value.
	summary, key, value string
}

// logRejection logs a rejection, unless one for the same reason was logged within
// the last second.
func (h *Handler) logRejection(r *http.Request, rejected *rejection) {
	leftOut, ok := h.lines.Admit(lineKind{h.logger, "refusals left out of the log", "reason", rejected.reason.name})
	if !ok {
		return
	}
	h.logger.Warn("request refused",
		zap.String("reason", rejected.reason.name),
		zap.Int("status", rejected.reason.status),
		zap.String("detail", rejected.err.Error()),
		zap.String("client_ip", clientIPOf(r)),
		zap.String("remote_addr", r.RemoteAddr),
		zap.String("method", r.Method),
		zap.Int("left_out", leftOut))
}

// logLeftOut tells how many lines were left out that no line has told yet.
func (h *Handler) logLeftOut() {
	h.lines.Rest(func(kind lineKind, leftOut int) {
		kind.logger.Warn(kind.summary, zap.String(kind.key, kind.value), zap.Int("left_out", leftOut))
	})
}
