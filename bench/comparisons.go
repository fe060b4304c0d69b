//go:build linux

package main

import "time"

// comparison is servers that get the same deliveries.
type comparison struct {
	name, about string
	targets     []string
	conns       int
	events      int  // a delivery
	tls         bool // always, and not only when that is asked for
	special     bool // it is run only by its name

	// Rate is how many deliveries are due a second; at 0 each connection sends its next
	// one when the last was answered.
	rate int

	// What is not 0 is used instead of the usual; there are at most so many rounds.
	warmup, window time.Duration
	rounds         int
}

// backgroundKind is the kind of deliveries that are sent beside those measured.
type backgroundKind string

const (
	honest  backgroundKind = "honest"
	forging backgroundKind = "forging"
)

// How many connections the background load has, and who is measured: four to one.
const (
	backgroundConns = 64
	honestConns     = 16
)

// Deliveries of so many events are of about 20 KB.
const events20K = 54

var comparisons = []comparison{
	{
		name: "accept", about: "deliveries of one event",
		targets: []string{"respond", "webhook", "queue", "deliver", "express-answer", "express-append", "express-fsync"},
		conns:   64, events: 1,
	},
	{
		name: "batch", about: "deliveries of 1000 events",
		targets: []string{"webhook", "queue", "express-answer", "express-append"},
		conns:   1, events: 1000,
	},
	{
		name: "batches", about: "deliveries of 1000 events, several at a time",
		targets: []string{"webhook", "queue"},
		conns:   4, events: 1000,
	},
	{
		name: "consumers", about: "deliveries of one event, accepted for one consumer and for three",
		targets: []string{"queue", "consumers"},
		conns:   64, events: 1,
	},
	{ // a queue forgets what is old each minute: most of the time that is measured
		name: "latency", about: "3000 deliveries of one event a second, from when they are due; they are delivered and soon forgotten",
		targets: []string{"settling"},
		conns:   256, events: 1, rate: 3000, warmup: 58 * time.Second, window: 20 * time.Second, rounds: 2,
	},
	{
		name: "verify", about: "deliveries of one event are checked and answered",
		targets: []string{"respond", "webhook", "njs", "lua", "adnanh", "express-answer"},
		conns:   32, events: 1,
	},
	{
		name: "verify-20k", about: "deliveries of 20 KB are checked and answered",
		targets: []string{"respond", "webhook", "njs", "lua", "adnanh", "express-answer"},
		conns:   32, events: events20K,
	},
	{ // without respond: it reads no body, and ends the connection if one is as large as these
		name: "verify-1000", about: "deliveries of 1000 events are checked and answered",
		targets: []string{"webhook", "njs", "lua", "adnanh", "express-answer"},
		conns:   32, events: 1000,
	},
	{
		name: "tls", about: "deliveries of one event are checked and answered, over TLS",
		targets: []string{"respond", "webhook", "webhook-cert", "njs", "lua", "express-answer"},
		conns:   32, events: 1, tls: true,
	},
	{
		name: "tls-20k", about: "deliveries of 20 KB are checked and answered, over TLS",
		targets: []string{"respond", "webhook", "webhook-cert", "njs", "lua", "express-answer"},
		conns:   32, events: events20K, tls: true,
	},
	{
		name: "tls-1000", about: "deliveries of 1000 events are checked and answered, over TLS",
		targets: []string{"webhook", "webhook-cert", "njs", "lua", "express-answer"},
		conns:   32, events: 1000, tls: true,
	},
	{
		name: "proxy", about: "deliveries of one event are checked and handed to an application that answers at once",
		targets: []string{"proxy", "webhook-proxy", "njs-proxy", "lua-proxy"},
		conns:   32, events: 1,
	},
	{
		name: "append", about: "deliveries of one event are checked and written to a file",
		targets: []string{"express-fsync", "express-append", "njs-append", "file"},
		conns:   64, events: 1,
	},
	{
		name: "refuse", about: "forgeries, beside the two that get what is right",
		targets: []string{"respond", "webhook", "webhook-forged", "njs-forged", "lua-forged", "express-answer-forged"},
		conns:   32, events: 1,
	},
	{
		name: "flood", about: "honest deliveries, while others send too",
		targets: []string{"webhook", "webhook-honest", "webhook-forging"},
		conns:   honestConns, events: 1,
	},
	{
		name: "growth-verify", about: "more events a delivery, checked and answered",
		targets: []string{"webhook-1", "webhook-10", "webhook-100", "webhook-1000"},
		conns:   4,
	},
	{
		name: "growth-queue", about: "more events a delivery, accepted by the queue",
		targets: []string{"queue-1", "queue-10", "queue-100", "queue-1000"},
		conns:   4,
	},
	{
		name: "growth-secrets", about: "more app secrets, the last of which is right",
		targets: []string{"secrets-1", "secrets-2", "secrets-3", "secrets-4", "secrets-5"},
		conns:   32, events: 1,
	},
	{
		name: "growth-pending", about: "more events that wait, accepted by the queue",
		targets: []string{"pending-1000", "pending-10000", "pending-100000"},
		conns:   64, events: 1,
	},
	{
		name: "growth-million", about: "a million events that wait, accepted by the queue",
		targets: []string{"pending-1000", "pending-1000000"},
		conns:   64, events: 1, special: true,
	},
	{
		name: "ten-million", about: "ten million events that wait, or that were delivered, and deliveries of 1000 events",
		targets: []string{"queue", "pending-10000000", "known-10000000"},
		conns:   4, events: 1000, special: true,
	},
}

// queueComparisons are what the thresholds of the queue are about. All their servers
// but those that are no Caddy are run under the name queue.
var queueComparisons = []string{"accept", "batch", "batches", "consumers", "latency", "drain", "backlog"}

// usual returns the names of the comparisons that are run when none is named.
func usual() (names []string) {
	for _, c := range comparisons {
		if !c.special {
			names = append(names, c.name)
		}
	}
	return names
}
