package account

import (
	"fmt"
	"math"
	"time"

	"github.com/caddy-instagram/webhooks/internal/alert"
)

// gaps is how much time an account has spent in pauses of which length: a histogram of
// seconds, whose classes are a quarter of an octave wide. It has at most maxGaps of them.
type gaps []float64

const (
	maxGaps = 64 // the last class begins at 31 days

	// forgetAfter is how much time is remembered, in seconds, before all of it counts half.
	forgetAfter = 60 * 24 * 60 * 60
)

// add adds a gap between two events.
func (g *gaps) add(gap time.Duration) {
	class := 0
	if minutes := gap.Minutes(); minutes > 1 {
		class = min(int(4*math.Log2(minutes)), maxGaps-1)
	}
	for len(*g) <= class {
		*g = append(*g, 0)
	}
	(*g)[class] += math.Round(gap.Seconds())
	if g.total() > forgetAfter {
		for i := range *g {
			(*g)[i] = math.Round((*g)[i] / 2)
		}
	}
}

func (g gaps) total() (seconds float64) {
	for _, s := range g {
		seconds += s
	}
	return seconds
}

// percentile99 returns the gap that no more than one percent of the time was spent in
// longer ones of. It counts time and not gaps: an account with thousands of events by day
// sleeps every night, in one gap of thousands.
func (g gaps) percentile99() time.Duration {
	longer, total := 0.0, g.total()
	for class := len(g) - 1; class >= 0; class-- {
		if longer += g[class]; longer > total/100 {
			return time.Duration(math.Exp2(float64(class+1)/4) * float64(time.Minute)).Round(time.Minute)
		}
	}
	return 0
}

const (
	// leastSilence is how long an account may be silent whatever was learned.
	leastSilence = 6 * time.Hour

	// While less than enough is learned, an account may be silent for unlearnedSilence.
	enough           = 3 * 24 * time.Hour
	unlearnedSilence = 24 * time.Hour

	// silenceGrace is how long after its start a gateway tells of no silence: Meta first
	// sends again what it could not deliver.
	silenceGrace = 15 * time.Minute
)

// silenceLimit returns how long an account may be silent.
func (r *record) silenceLimit(a *Account) time.Duration {
	if a.Silence > 0 {
		return time.Duration(a.Silence)
	}
	limit := max(leastSilence, 3*r.Gaps.percentile99())
	if r.Gaps.total() < enough.Seconds() {
		limit = max(limit, unlearnedSilence)
	}
	return limit
}

// came records that an event came. Within a minute of the one before it is not worth a
// write, unless that ends a silence or this is the end of the process.
func (r *record) came(a *Account, at time.Time, always bool) {
	gap := at.Sub(r.LastEvent)
	if gap <= 0 || gap < time.Minute && !always && r.Alarms[alert.Silence] == "" {
		return
	}
	if !r.LastEvent.IsZero() {
		r.Gaps.add(min(gap, r.silenceLimit(a))) // a silence teaches no more than what was expected
	}
	r.LastEvent = at.UTC()
}

// noteSilence turns the alarm on and off. While this gateway refuses deliveries, none can
// be told from a silence.
func (r *record) noteSilence(a *Account, now time.Time) []alert.Alert {
	since := r.LastEvent
	if since.IsZero() {
		since = r.Since
	}
	limit := r.silenceLimit(a)
	if now.Sub(since) <= limit {
		return r.alarm(a, alert.Silence, "", "")
	}
	last := "no event has ever come"
	if !r.LastEvent.IsZero() {
		last = "the last event came at " + r.LastEvent.Format("2006-01-02 15:04 UTC")
	}
	alerts := r.alarm(a, alert.Silence, "silent", fmt.Sprintf("The account %s has been silent for longer than %s: %s. "+
		"'caddy instagram accounts' shows what is known of it, and 'caddy instagram check' looks for a cause.", a.ID, hours(limit), last))
	if alerts != nil {
		r.checkSoon(now)
	}
	return alerts
}

// hours returns a duration for people to read.
func hours(d time.Duration) string {
	if d >= time.Hour {
		return fmt.Sprintf("%d hours", int(d.Round(time.Hour)/time.Hour))
	}
	return fmt.Sprintf("%d minutes", int(d/time.Minute))
}
