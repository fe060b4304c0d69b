package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/memory"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp/kb"
)

func attempts(from, to int) string {
	var text strings.Builder
	for i := from; i < to; i++ {
		text.WriteString(message("attempt", m{
			"time": before(0), "status": 200, "field": "messages", "account": account, "conversation": account + "/6230000000000011",
			"consumer": "crm", "id": fmt.Sprint(i), "attempt": 1, "took": .0123,
		}))
	}
	return text.String()
}

// TestLive watches what happens, stops while somebody reads, and goes on after a reload.
func TestLive(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	b := open(t, f.page(), "#live")
	b.waitText(".connection", "Connected")
	f.send(t, attempts(1, 4))
	b.waitText("tbody tr", "3")
	b.press("j")
	f.send(t, attempts(4, 304))
	b.waitText(".connection", "Paused while you read: 300 new")
	if n := eval[int](b, "document.querySelectorAll('tbody tr').length"); n != 3 {
		t.Errorf("%d rows are shown while one of 3 is read", n)
	}
	b.press(kb.Escape)
	b.waitText("tbody tr", "303")
	b.wait("document.querySelectorAll('tbody tr').length === 200")

	f.send(t, message("missed", m{"missed": 12}))
	b.waitText(".bar", "12 missed")
	b.click("Pause")
	f.send(t, attempts(304, 305))
	b.waitText(".connection", "Paused: 1 new")
	b.click("Go on")
	b.waitText("tbody tr", "304")

	f.cut()
	f.send(t, attempts(305, 306))
	b.waitText("tbody tr", "305")
	b.waitText(".connection", "Connected")

	b.press("j", kb.Enter)
	b.wait("location.hash.startsWith('#event/305')")
}

// TestLiveBusy tells why nothing comes when there are too many readers, and tries again.
func TestLiveBusy(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	f.busy = true
	b := open(t, f.page(), "#live")
	b.waitText(".connection", "Trying again")
}

// TestLiveHeap sends 100,000 events. The page may not grow with them.
func TestLiveHeap(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	b := open(t, f.page(), "#live")
	b.waitText(".connection", "Connected")
	const most, step = 100_000, 1000
	measure := func() (heap float64, nodes int64) {
		call(b, heapprofiler.CollectGarbage, cdp.Empty{})
		return call(b, runtime.GetHeapUsage, cdp.Empty{}).UsedSize, call(b, memory.GetDOMCounters, cdp.Empty{}).Nodes
	}
	var heap float64
	var nodes int64
	for n := 0; n < most; n += step {
		f.send(t, attempts(n, n+step))
		if n == 9*step {
			b.waitText(".bar", "10,000 since")
			heap, nodes = measure()
		}
	}
	b.waitText(".bar", "100,000 since")
	b.waitText("tbody tr", "99999")
	heapAfter, nodesAfter := measure()
	t.Logf("after 10,000 events: %.0f kB and %d nodes; after 100,000: %.0f kB and %d nodes", heap/1e3, nodes, heapAfter/1e3, nodesAfter)
	if heapAfter > heap+500e3 || nodesAfter > nodes+2000 {
		t.Errorf("the page grows: from %.0f to %.0f bytes, from %d to %d nodes", heap, heapAfter, nodes, nodesAfter)
	}
}
