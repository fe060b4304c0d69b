// Package alert says what an operator should be told of.
package alert

// Kind is what an alert is about. It is the name of Caddy's event without the prefix
// "instagram.".
type Kind string

// The kinds of alerts.
const (
	Refusing     Kind = "refusing"     // deliveries are answered with an error for minutes
	Recovered    Kind = "recovered"    // what an earlier alert was about is over
	DeadLetter   Kind = "dead_letter"  // an event was given up, the first of its cause
	Oldest       Kind = "oldest"       // an event waits for too long
	Token        Kind = "token"        // an access token ends soon, or is dead
	Subscription Kind = "subscription" // an account does not send what it should
	Silence      Kind = "silence"      // an account has sent nothing for too long
	CA           Kind = "ca"           // the CA of Meta's client certificate ends soon
	Answers      Kind = "answers"      // the answers to deliveries are failures to Meta
)

// Alert is something that an operator should know of. None of its texts holds a
// secret or what people wrote.
type Alert struct {
	Kind Kind

	// Of is the kind of the alert whose cause is over, if the kind is Recovered.
	Of Kind

	// Cause tells apart the causes of one kind, such as the id of an account or the
	// name of a queue. There is a bounded number of them.
	Cause string

	// Text is one or two sentences: what happened, and what to do.
	Text string

	// Data is what programs want to know besides.
	Data map[string]any
}
