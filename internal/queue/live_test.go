package queue

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/live"
)

// TestLive shows what is told of attempts, and that nothing of an event or of an answer is.
// It is not run in parallel: others would be seen, too.
func TestLive(t *testing.T) {
	reader, err := live.Shared.Read(live.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var body string
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			body = string(text)
			time.Sleep(time.Second)
			switch calls++; calls {
			case 1:
				w.WriteHeader(500)
				_, _ = w.Write(text)
			case 2:
				panic(body)
			default:
				_, _ = w.Write(text)
			}
		})
		tr.accept("thread", 1)
		time.Sleep(time.Hour)
		tr.expect(map[State]int{Delivered: 1})
	})
	var batch [10]live.Event
	n, _, _ := reader.Take(batch[:])
	var told []string
	for _, e := range batch[:n] {
		told = append(told, fmt.Sprintf("%s %d %s %d %s %s %s %d %g %s", e.Kind, e.ID, e.Consumer, e.Try, e.Field, e.Conversation, e.Reason, e.Status, e.Took, e.Error))
	}
	if got, want := strings.Join(told, "\n"), `attempt 1 default 1 messages thread 500 500 1 answered 500 Internal Server Error
attempt 1 default 2 messages thread panic 0 1 panic: [secret]
attempt 1 default 3 messages thread  200 1 `; got != want {
		t.Errorf("told was:\n%s\nwant:\n%s", got, want)
	}
	last := live.Shared.LastError(DefaultConsumer)
	if last == nil || !strings.HasPrefix(last.Error, "panic: ") || strings.Contains(last.Error, body) {
		t.Errorf("the last error is %v", last)
	}
}
