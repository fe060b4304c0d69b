package storetest

import "testing"

// bubbleTests run in a bubble, whose clock is not that of the machine.
var bubbleTests = map[string]func(*testing.T, *store){
	"duplicates within a secret":     dedupeWithinASecret,
	"duplicates within a delivery":   dedupeWithinADelivery,
	"duplicates never":               notDeduped,
	"duplicates window":              dedupeWindow,
	"duplicates of what is gone":     dedupeOutlivesTheEvent,
	"accept refused delivery":        refusedDelivery,
	"accept limits":                  limitsCountWhatWaits,
	"accept bodies may change":       bodiesMayChange,
	"accept any record":              anyRecord,
	"accept no events":               noEvents,
	"accept free space":              freeIsWhatAcceptFinds,
	"lease life of an event":         lifeOfAnEvent,
	"lease limit":                    leaseLimit,
	"lease lanes take turns":         lanesTakeTurns,
	"lease wakes":                    leaseWakes,
	"lease two wait":                 leaseWaitsForTwo,
	"lease ends":                     leaseEnds,
	"order retries":                  orderOverRetries,
	"order discards":                 orderOverDiscards,
	"order requeues":                 orderOverRequeues,
	"order across lanes":             orderAcrossLanes,
	"order among requeued":           requeuedInOrder,
	"order released keeps its place": releasedKeepsItsPlace,
	"requeue spacing":                requeueSpacing,
	"requeue selects":                requeueSelects,
	"requeue fails again":            requeuedFails,
	"list pages":                     listPages,
	"list filters":                   listFilters,
	"expire in steps":                expireInSteps,
	"expire not what was requeued":   requeuedIsNotExpired,
	"stats exact":                    statsAreExact,
	"reopen duplicates":              dedupeOverAReopen,
	"reopen leases":                  leasesEndWithTheStore,
	"reopen order":                   orderOverAReopen,
}

// concurrencyTests run with the clock of the machine.
var concurrencyTests = map[string]func(*testing.T, *store){
	"concurrency many at a time":     manyAtATime,
	"concurrency everything at once": everythingAtOnce,
	"concurrency close during use":   closeDuringUse,
}
