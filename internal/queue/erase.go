package queue

import (
	"slices"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/jsonscan"
)

// Subject is whose events are erased. One of its fields is set.
type Subject struct {
	User    string // whoever has this id, wherever it stands in an event
	Account string // the account that an event belongs to
	Message string // the id of a message: the message itself, and what is about it
}

// Holds reports whether an event is about the subject. An id is a whole string or number of
// the body: one that another contains is another's. Of an event that was erased, its identity
// tells whom it still names.
func (s *Subject) Holds(r *Record) bool {
	if len(r.Body) == 0 && s.Message == "" && slices.Contains(strings.Split(r.Identity, "/"), s.ID()) {
		return true
	}
	switch {
	case s.User != "":
		return r.Account == s.User || jsonscan.HasScalar(string(r.Body), s.User)
	case s.Account != "":
		return r.Account == s.Account
	case s.Message != "":
		return s.holdsMessage(r.Body)
	}
	return false
}

// holdsMessage reports whether one of the events in a body is about the message. A reply to
// it is not: somebody else wrote that.
func (s *Subject) holdsMessage(body []byte) bool {
	if !jsonscan.HasScalar(string(body), s.Message) {
		return false
	}
	for _, e := range event.Split(body) {
		if e.MessageID() == s.Message || e.Kind == "" {
			return true
		}
	}
	return false
}

// ID returns the id of the subject.
func (s *Subject) ID() string { return s.User + s.Account + s.Message }

// Erasure is what is to be erased.
type Erasure struct {
	Subject

	// At is when it was asked for, and Because why, in a few words. Both are kept.
	At      time.Time
	Because string

	DryRun bool // count only

	// Erased is called after each step in which events were erased: what is leased, but not
	// begun, is to be given back. It may be nil.
	Erased func()
}

// BecauseTakenBack is why a message was erased that was taken back.
const BecauseTakenBack = "taken back by who wrote it"

// erased stands for an id that was erased.
const erased = "erased"

// Left returns what is left of an event: its identity and its account, without the id of a
// person or an account that was erased, and what it shares with others. With an account go
// all parts of the identity after the field: some are people who wrote to it. A duplicate is
// recognised by a hash that is kept elsewhere.
func (e *Erasure) Left(r Record) Record {
	r.Body, r.Signature, r.Conversation = nil, [32]byte{}, ""
	id := e.ID()
	if e.User == "" && e.Account == "" {
		return r // the id of a message is of no use without Meta
	}
	if r.Account == id {
		r.Account = erased
	}
	const account, field = 1, 2 // the parts of an identity, after the object
	parts := strings.Split(r.Identity, "/")
	if len(parts) > field+1 && (e.Account != "" || parts[account] == id) {
		parts = append(parts[:field+1], erased)
	}
	for i := range parts {
		if parts[i] == id {
			parts[i] = erased
		}
	}
	r.Identity = strings.Join(parts, "/")
	return r
}

// OfErased returns what is stored of the outcome of an attempt with an event that was erased
// meanwhile.
func (o Outcome) OfErased() Outcome {
	if o.Attempt = o.WithoutWords(); o.State != Delivered {
		o.State = Erased
	}
	return o
}

// WithoutWords returns an attempt without what the application answered, which may quote
// what a person wrote.
func (a Attempt) WithoutWords() Attempt {
	a.Error, a.Answer = "", nil
	return a
}
