package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// Rule says how the application answers certain requests. The first one that
// applies counts.
type Rule struct {
	Path       string        // of the request; "": every path
	Match      string        // a text in the body; "": every body
	Times      int           // how often the rule applies; 0: always
	Status     int           // 0: 200
	RetryAfter string        // header of the answer
	Secret     string        // app secret to check the signature with; 403 if it is wrong
	Cut        Cut           // where the answer breaks off
	Delay      time.Duration // before the answer
	Hold       bool          // do not answer, or cut, before there are other rules
	Silent     bool          // answer without a body
}

// Cut is where an answer breaks off: the part of it that is sent.
type Cut string

// An answer may break off anywhere.
const (
	CutAtOnce   Cut = "at once"
	CutInHeader Cut = "HTTP/1.1 200 OK\r\nContent-Le"
	CutInBody   Cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"
	CutInChunk  Cut = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
)

// Attempt is a request as it reached the application, and how it ended.
type Attempt struct {
	Method, URI, Host string
	Header            http.Header
	ContentLength     int64
	TransferEncoding  []string
	Body              []byte
	Begin, End        time.Time
	Status            int  // that was answered, perhaps not to the end; 0: none
	Unanswered        bool // the caller went away, or the connection was cut
}

// ID is the identity of the event.
func (a *Attempt) ID() string { return a.Header.Get("Ce-Id") }

// Delivered reports whether the application has taken the event.
func (a *Attempt) Delivered() bool { return a.Status/100 == 2 && !a.Unanswered }

// Echo is what the application, and PHP, answer: the request as it reached them.
type Echo struct {
	Method           string      `json:"method"`
	URI              string      `json:"uri"`
	SHA256           string      `json:"sha256"`
	Length           int         `json:"length"`
	ContentLength    int64       `json:"content_length"`
	TransferEncoding []string    `json:"transfer_encoding"`
	Header           http.Header `json:"header"`
}

// Echo reads the answer of an application that must have answered 200.
func (a *Answer) Echo(t testing.TB) (echo Echo) {
	t.Helper()
	if a.Status != http.StatusOK {
		t.Fatalf("status %d, want 200; body: %s", a.Status, a.Body)
	}
	if err := json.Unmarshal([]byte(a.Body), &echo); err != nil {
		t.Fatalf("%v in the answer %q", err, a.Body)
	}
	return echo
}

func answer(w http.ResponseWriter, rule *Rule, attempt *Attempt) {
	if rule.RetryAfter != "" {
		w.Header().Set("Retry-After", rule.RetryAfter)
	}
	switch {
	case rule.Cut != "":
		cut(w, rule.Cut)
	case rule.Silent:
		w.WriteHeader(attempt.Status)
	case attempt.Status != http.StatusOK:
		w.WriteHeader(attempt.Status)
		_, _ = fmt.Fprintf(w, "the application says %d", attempt.Status)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(Echo{
			attempt.Method, attempt.URI, SHA256(attempt.Body), len(attempt.Body),
			attempt.ContentLength, attempt.TransferEncoding, attempt.Header,
		})
	}
}

// cut writes the beginning of an answer and closes the connection.
func cut(w http.ResponseWriter, beginning Cut) {
	if beginning == CutAtOnce {
		panic(http.ErrAbortHandler)
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = buffered.WriteString(string(beginning))
	_ = buffered.Flush()
	_ = conn.Close()
}
