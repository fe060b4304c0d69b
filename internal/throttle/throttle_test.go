package throttle

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"
)

func TestAdmit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines Throttle[string]
		admit := func(kind string, leftOut int, ok bool) {
			t.Helper()
			if n, admitted := lines.Admit(kind); n != leftOut || admitted != ok {
				t.Errorf("%s: %d %t, want %d %t", kind, n, admitted, leftOut, ok)
			}
		}
		admit("a", 0, true)
		admit("a", 0, false)
		admit("b", 0, true)
		time.Sleep(time.Second - 1)
		admit("a", 0, false)
		time.Sleep(time.Nanosecond)
		admit("a", 2, true)
		admit("a", 0, false)
		admit("b", 0, true)

		for _, want := range []map[string]int{{"a": 1}, {}} {
			rest := make(map[string]int)
			lines.Rest(func(kind string, leftOut int) { rest[kind] = leftOut })
			if !maps.Equal(rest, want) {
				t.Errorf("left out %v, want %v", rest, want)
			}
		}
	})
}
