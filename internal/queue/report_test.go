package queue

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestLogFlood lets 150 attempts fail within a second, and reads the log.
func TestLogFlood(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status  int
		message string
		level   zapcore.Level
	}{
		"failed": {500, msgFailed, zapcore.WarnLevel},
		"dead":   {410, msgDead, zapcore.ErrorLevel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(c.status)
					_, _ = io.Copy(w, r.Body)
				}, func(p *Policy) { p.First, p.Max = 20*time.Hour, 20*time.Hour })
				for i := range 150 {
					tr.accept(fmt.Sprint(i), 1)
				}
				time.Sleep(900 * time.Millisecond)
				tr.Stop(0)
				lines := tr.logs.All()
				if len(lines) != 2 || lines[0].Message != c.message || lines[0].Level != c.level {
					t.Fatalf("%d lines: %v", len(lines), lines)
				}
				first := lines[0].ContextMap()
				if first["reason"] != fmt.Sprint(c.status) || first["identity"] != fmt.Sprint(first["id"].(uint64)-1, "/1") || first["field"] != "messages" {
					t.Errorf("first line: %v", first)
				}
				if rest := lines[1].ContextMap(); rest["left_out"] != int64(149) || rest["message"] != c.message {
					t.Errorf("last line: %v", rest)
				}
			})
		})
	}
}

// TestErasedEventIsNoDeadLetter has a message unsent while the attempt to deliver it is under
// way, which the application refuses.
func TestErasedEventIsNoDeadLetter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			sleep(r.Context(), time.Second)
			w.WriteHeader(http.StatusGone)
		})
		message, unsent := record("a", 1), record("a", 2)
		message.Message, unsent.Message, unsent.TakesBack = "mid", "mid", true
		for _, r := range []Record{message, unsent} {
			if _, err := tr.store.Accept(t.Context(), []Record{r}, Admission{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Hour)
		tr.expect(map[State]int{Erased: 1, Dead: 1})
		if dead := tr.logs.FilterMessage(msgDead).Len(); dead != 1 {
			t.Errorf("%d events are said to be dead letters", dead)
		}
	})
}

// TestLogSecrets looks for what must not be in the log.
func TestLogSecrets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			switch calls++; calls {
			case 1:
				panic("at once")
			case 2:
				hang(w, r)
				return
			case 3:
				w.WriteHeader(500)
			default:
				w.WriteHeader(410)
			}
			_ = r.Write(w) // as debugging pages do
			_, _ = io.WriteString(w, r.URL.String()+string(record("a", 1).Body))
		})
		tr.accept("a", 1)
		time.Sleep(time.Hour)
		tr.expect(map[State]int{Dead: 1})
		tr.Stop(0)
		var log strings.Builder
		for _, line := range tr.logs.All() {
			text, err := json.Marshal(line.ContextMap())
			if err != nil {
				t.Fatal(err)
			}
			log.WriteString(line.Message + string(text) + "\n")
		}
		for _, want := range []string{`"reason":"panic"`, `"reason":"timeout"`, `"reason":"500"`, `"reason":"410"`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s is not in the log", want)
			}
		}
		for _, secret := range []string{"hidden", "abcd", "sha256", "hooks.example.com", `message\"`, "Idempotency"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%q is in the log:\n%s", secret, log.String())
			}
		}
	})
}

// TestLogTellsWhoPutAnEventOff has an application that asks for a day: the event
// is not due for so long because of that, not because of the queue.
func TestLogTellsWhoPutAnEventOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := dispatch(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		tr.accept("a", 1)
		synctest.Wait()
		lines := tr.logs.FilterMessage(msgFailed).All()
		if len(lines) != 1 || lines[0].ContextMap()["retry_after"] != 24*time.Hour {
			t.Errorf("the log says %v", lines)
		}
	})
}

// TestLogPanic shows that a panic can be found.
func TestLogPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := dispatch(t, func(http.ResponseWriter, *http.Request) { panic("out of paper") })
		tr.accept("a", 1)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		lines := tr.logs.FilterLevelExact(zapcore.ErrorLevel).All()
		if len(lines) == 0 {
			t.Fatal("nothing in the log")
		}
		about := lines[0].ContextMap()
		stack := fmt.Sprintf("%s", about["stack"])
		if about["panic"] != "panic: out of paper" || !strings.Contains(stack, "TestLogPanic") {
			t.Errorf("%v", about)
		}
		if slices.ContainsFunc(tr.logs.All(), func(l observer.LoggedEntry) bool { return l.Level == zapcore.WarnLevel }) {
			t.Error("it was logged twice")
		}
	})
}
