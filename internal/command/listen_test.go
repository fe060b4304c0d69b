package command

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// newListener returns a receiver that prints to out.
func newListener(out *bytes.Buffer) *listener {
	c := &console{out: out}
	return &listener{answer: http.StatusOK, c: c, rows: newListenRows(c)}
}

// TestListenTakesWhatItAnswersTooLate is how an application gets duplicates: the sender
// did not wait.
func TestListenTakesWhatItAnswersTooLate(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newListener(&out)
	l.after = time.Hour
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for attempt := range 2 {
		r := httptest.NewRequestWithContext(gone, http.MethodPost, "/", strings.NewReader(`{"object":"instagram"}`))
		r.Header.Set("Idempotency-Key", "a/b/c")
		r.Header.Set("X-Instagram-Attempt", strconv.Itoa(attempt+1))
		func() {
			defer func() {
				if recover() != http.ErrAbortHandler {
					t.Error("it is answered")
				}
			}()
			l.ServeHTTP(httptest.NewRecorder(), r)
		}()
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], "  late    new ") || !strings.Contains(lines[2], "  late    duplicate ") || l.sum.Late != 2 {
		t.Errorf("%+v\n%s", l.sum, &out)
	}
}

// TestListenDropsNothingThatIsNotUnique has events that look alike and are two.
func TestListenDropsNothingThatIsNotUnique(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newListener(&out)
	for range 2 {
		l.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader("not JSON")))
	}
	if l.sum.Events != 2 || l.sum.Duplicates != 0 || strings.Contains(out.String(), "not JSON") {
		t.Errorf("%+v\n%s", l.sum, &out)
	}
}

func TestRecentKeysAreBounded(t *testing.T) {
	t.Parallel()
	var keys recentKeys
	for i := range 3*maxKeys + 1 {
		if keys.seen(strconv.Itoa(i), true) {
			t.Fatalf("key %d is known", i)
		}
	}
	if n := len(keys.young) + len(keys.old); n != maxKeys+1 {
		t.Errorf("%d keys are kept", n)
	}
	if !keys.seen(strconv.Itoa(2*maxKeys+1), false) || keys.seen("0", false) || keys.seen("0", false) {
		t.Error("it forgot what came last, or not what came first, or remembered what it was not to")
	}
}

// TestStreamsFit80Columns prints rows whose columns grow, and identities whose ends tell
// them apart.
func TestStreamsFit80Columns(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]string{
		0:   "messaging_postbacks  17841400000000001  instagram/17841400000000001/messaging_postbacks/" + strings.Repeat("x", 100) + "END\n",
		80:  "duplicate  messaging_postbacks  …xxxxxxxxxxxxxxxxxxxxxxxxxxEND\n",
		100: "messaging_postbacks  17841400000000001  …xxxxxxxxxxxxxxxxxxxxxxxxxxxEND\n",
		20:  "duplicate  messaging_postbacks  …\n",
	} {
		var out bytes.Buffer
		rows := newListenRows(&console{out: &out, width: width})
		rows.print("09:00:00", "200", "new", "comments", "1", "a\x1bb")
		rows.print("09:00:00", "200", "duplicate", "messaging_postbacks", "17841400000000001",
			"instagram/17841400000000001/messaging_postbacks/"+strings.Repeat("x", 100)+"END")
		if !strings.HasSuffix(out.String(), want) || strings.Contains(out.String(), "\x1b") || strings.Count(out.String(), "\n") != 3 {
			t.Errorf("on %d columns, no %q in\n%s", width, want, &out)
		}
		for line := range strings.Lines(out.String()) {
			if n := len([]rune(line)) - 1; width >= 80 && n > width {
				t.Errorf("a row has %d columns of %d: %s", n, width, line)
			}
		}
	}
}
