// Package alert tells operators of what they should know of. It says each thing once,
// remembers what it said over reloads of the config, and waits for nobody.
package alert

import (
	"slices"
	"time"
)

// Kind is what an alert is about. It is the name of Caddy's event without the prefix
// "instagram.".
type Kind string

// The kinds of alerts.
const (
	Refusing     Kind = "refusing"     // deliveries are refused for minutes, as they cannot be stored
	Recovered    Kind = "recovered"    // what an earlier alert was about is over
	DeadLetter   Kind = "dead_letter"  // an event was given up, the first of its cause
	Oldest       Kind = "oldest"       // an event waits for too long
	Token        Kind = "token"        // an access token ends soon, or is dead
	Subscription Kind = "subscription" // an account does not send what it should
	Silence      Kind = "silence"      // an account has sent nothing for too long
	CA           Kind = "ca"           // the CA of Meta's client certificate ends soon
	Answers      Kind = "answers"      // the answers to deliveries are failures to Meta
)

// kinds tells how often an alert comes again while its cause and reason last, its title, and
// whether another process may have told of it that now is over: one before a restart, or
// another gateway.
var kinds = map[Kind]struct {
	again  time.Duration
	title  string
	shared bool
}{
	Refusing:     {hour, "deliveries are refused", false},
	Recovered:    {hour, "recovered", false},
	DeadLetter:   {hour, "events are given up", false},
	Oldest:       {6 * hour, "events wait for too long", false},
	Token:        {almostDaily, "an access token needs attention", true},
	Subscription: {almostDaily, "an account sends less than it should", true},
	Silence:      {almostDaily, "an account is silent", true},
	CA:           {7 * 24 * hour, "a CA certificate ends", false},
	Answers:      {hour, "answers count as failures", false},
}

const (
	// hour is the time in which a cause is told of once.
	hour = time.Hour

	// almostDaily lets through what is raised every day, at about the same time.
	almostDaily = 23 * hour
)

// Kinds returns the kinds, in alphabetical order.
func Kinds() []Kind {
	var all []Kind
	for kind := range kinds {
		all = append(all, kind)
	}
	slices.Sort(all)
	return all
}

// Alert is something that an operator should know of. None of its texts holds a
// secret or what people wrote.
type Alert struct {
	Kind Kind `json:"kind"`

	// Of is the kind of the alert whose cause is over, if the kind is Recovered.
	Of Kind `json:"of,omitempty"`

	// Cause tells apart the causes of one kind, such as the id of an account or the
	// name of a queue.
	Cause string `json:"cause"`

	// Reason tells apart why, where that can change while the cause lasts: another reason
	// is told when the hour is over.
	Reason string `json:"-"`

	// Text is one or two sentences: what happened, and what to do.
	Text string `json:"text"`

	// Urgent alerts are told even if a lesser one of the same cause was told just now.
	Urgent bool `json:"urgent"`

	// Data is what programs want to know besides.
	Data map[string]any `json:"data,omitempty"`
}

// Notice is an alert as receivers get it.
type Notice struct {
	Alert

	// Repeated is how often the same was left out since the last notice of it.
	Repeated int `json:"repeated"`

	Host string    `json:"host"` // of this gateway
	Time time.Time `json:"time"`
}

// Title says in a few words what the notice is about, and whose it is.
func (n *Notice) Title() string {
	title := kinds[n.Kind].title
	if n.Kind == Recovered {
		title += " (" + string(n.Of) + ")"
	}
	return "Instagram webhooks on " + n.Host + ": " + title
}
