package command

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// TestReplayOfAnErasedEvent has nothing to send: an empty body is no event.
func TestReplayOfAnErasedEvent(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(1)...)
	server := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	server.run(t, "forget", "--account", "17841400000000001").want(t, 0, "", "")
	desk := newReceiver(t)
	replay := func(address string) ran {
		return runCommand(t.Context(), "", "replay", "1", "--to", desk.URL, "--app-secret", receiverSecret, "--address", address)
	}
	replay(server.Listener.Addr().String()).want(t, 2, "", "Error: event 1 was erased at 20")

	// It was discarded while its page was read.
	discarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"id":1,"state":"delivered","size":7}]`)
	}))
	defer discarded.Close()
	replay(discarded.Listener.Addr().String()).want(t, 2, "", "Error: event 1 has no body any more: there is nothing to send")

	var out strings.Builder
	watch := &tail{c: &console{out: &out}, client: &simulate.Client{URL: desk.URL, Secret: receiverSecret}}
	defer watch.client.Close()
	watch.address = server.Listener.Addr().String()
	watch.rows = newTailRows(watch.c)
	watch.forwardOne(t.Context(), &happened{Event: live.Event{ID: 1}})
	if text := out.String(); !strings.Contains(text, "1, event 1 was erased at ") || !strings.Contains(text, ": there is nothing to send") {
		t.Errorf("tail prints %q", text)
	}
	if got := desk.received(); len(got) > 0 {
		t.Errorf("sent: %q", got)
	}
}
