package admin

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Event is an event in a store, as the admin API shows it.
type Event struct {
	ID uint64 `json:"id"`

	// Consumer is who gets the event. The same event has the same ID for all.
	Consumer string      `json:"consumer"`
	State    queue.State `json:"state"`
	Lane     queue.Lane  `json:"lane,omitempty"`
	InFlight bool        `json:"in_flight,omitempty"`

	// Identity is the id of the CloudEvent.
	Identity string `json:"identity"`
	Field    string `json:"field"`
	Account  string `json:"account,omitempty"`

	// Order is the conversation: events that have it in common are delivered one
	// after the other.
	Order string `json:"order,omitempty"`

	// URL is where the delivery went to, without its query: that may hold
	// what nobody else should know.
	URL string `json:"url"`

	// AppSecret is the name of the secret that the delivery was signed with.
	AppSecret string `json:"app_secret"`

	// Size is that of the body in bytes.
	Size int `json:"size"`

	Accepted time.Time `json:"accepted"`
	Requeued time.Time `json:"requeued,omitzero"`
	Due      time.Time `json:"due,omitzero"`
	Settled  time.Time `json:"settled,omitzero"`

	// Attempts is how many attempts there were since the event was accepted or
	// requeued, the one that delivered it among them.
	Attempts  int    `json:"attempts"`
	LastError string `json:"last_error,omitempty"`

	// Erased is when what the event holds of people was erased, and ErasedBecause why. It
	// has no body then.
	Erased        time.Time `json:"erased,omitzero"`
	ErasedBecause string    `json:"erased_because,omitempty"`

	// History is the last attempts, the newest last, if a single event was asked for.
	History []Attempt `json:"history,omitempty"`

	// Body is a body in JSON, byte for byte, and BodyBase64 any other, which
	// is base 64 in JSON. Both are empty if the body was not asked for, or if
	// the event was forgotten while it was listed.
	Body       json.RawMessage `json:"body,omitempty"`
	BodyBase64 []byte          `json:"body_base64,omitempty"`
}

// Attempt is an attempt to deliver an event, as the admin API shows it.
type Attempt struct {
	Ended time.Time `json:"ended"`
	Took  float64   `json:"took"` // in seconds

	// Status is that of the answer. It is 0 if there was none.
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`

	// Answer is the first bytes of the answer's body, if that is kept: in UTF-8, or
	// else as AnswerBase64, which is base 64 in JSON.
	Answer       string `json:"answer,omitempty"`
	AnswerBase64 []byte `json:"answer_base64,omitempty"`
}

// Bytes returns the first bytes of the answer's body, or nil.
func (a *Attempt) Bytes() []byte {
	if a.Answer != "" {
		return []byte(a.Answer)
	}
	return a.AnswerBase64
}

func newAttempt(a queue.Attempt) Attempt {
	shown := Attempt{Ended: a.Ended.UTC(), Took: a.Took.Seconds(), Status: a.Status, Error: a.Error}
	if utf8.Valid(a.Answer) {
		shown.Answer = string(a.Answer)
	} else {
		shown.AnswerBase64 = a.Answer
	}
	return shown
}

// newEvent returns e as the admin API shows it. The result shares the body.
func newEvent(e *queue.Event) *Event {
	url, _, _ := strings.Cut(e.URL, "?")
	shown := &Event{
		ID: e.ID, Consumer: e.Consumer, State: e.State, Lane: e.Lane, InFlight: e.InFlight,
		Identity: e.Identity, Field: e.Field, Account: e.Account, Order: e.Conversation,
		URL: url, AppSecret: e.Secret, Size: e.Size,
		Accepted: e.Accepted.UTC(), Requeued: e.Requeued.UTC(), Due: e.Due.UTC(), Settled: e.Settled.UTC(),
		Attempts: e.Attempts, LastError: e.LastError, Erased: e.ErasedAt.UTC(), ErasedBecause: e.ErasedBecause,
	}
	for _, a := range e.History {
		shown.History = append(shown.History, newAttempt(a))
	}
	switch {
	case !e.ErasedAt.IsZero():
	case json.Valid(e.Body) && utf8.Valid(e.Body):
		shown.Body = e.Body
	default:
		shown.BodyBase64 = e.Body
	}
	return shown
}

// Bytes returns the body as it was stored, or nil.
func (e *Event) Bytes() []byte {
	if e.Body != nil {
		return e.Body
	}
	return e.BodyBase64
}

// appendJSON appends an event to dst. A body in JSON stays as it is, which the
// encoder of the standard library would not leave it.
func appendJSON(dst []byte, e *queue.Event) ([]byte, error) {
	shown := newEvent(e)
	body := shown.Body
	shown.Body = nil
	text, err := encode(shown)
	if err != nil {
		return nil, err
	}
	dst = append(dst, text...)
	if body != nil {
		dst = append(dst[:len(dst)-1], `,"body":`...)
		dst = append(append(dst, body...), '}')
	}
	return dst, nil
}

// encode returns v as JSON, without escapes for HTML.
func encode(v any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}
