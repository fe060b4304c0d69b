package command

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// TestKeys types at a terminal: what is shown has a body only if it was asked for.
func TestKeys(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	accept(t, store, commented(3)...)
	server := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	desk := newReceiver(t)
	var out bytes.Buffer
	c := &console{width: 80}
	watch := &tail{c: c, client: &simulate.Client{URL: desk.URL, Secret: receiverSecret}, pending: make(chan *happened, 9)}
	defer watch.client.Close()
	watch.address = server.Listener.Addr().String()
	ended := 0
	watch.keys = newKeys(watch, func() { ended++ }, &out, 80)
	watch.rows = newTailRows(c)

	typed := func(text string) string {
		t.Helper()
		out.Reset()
		watch.keys.read(t.Context(), strings.NewReader(text))
		for watch.keys.isBusy() {
			time.Sleep(time.Millisecond)
		}
		return out.String()
	}
	if typed("jkdr") != "" {
		t.Errorf("without an event it prints %q", &out)
	}
	for id := range uint64(3) {
		watch.happened(&happened{Kind: live.Attempt, Event: live.Event{ID: id + 1, Field: "comments", Account: "17841400000000001", Consumer: "default"}})
	}
	if text := out.String(); strings.Contains(text, "text") || strings.Contains(text, "\n") && !strings.Contains(text, "\r\n") ||
		!strings.HasSuffix(text, "\r\x1b[K> 3 comments  j k select  r send again  d show  q end") {
		t.Errorf("it prints %q", text)
	}
	if text := typed("kkkj"); !strings.HasSuffix(text, "> 2 comments  j k select  r send again  d show  q end") {
		t.Errorf("it selects %q", text)
	}
	if text := typed("d"); !strings.Contains(text, "comments/2\r\n") || !strings.Contains(text, `"text": "a`) || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") {
		t.Errorf("it shows %q", text)
	}
	if text := typed("r"); !strings.Contains(text, "  forwarded  200 ") || len(desk.received()) != 1 || !strings.Contains(desk.received()[0], `"id":"2"`) {
		t.Errorf("it sends %q and prints %q", desk.received(), text)
	}
	if typed("qr"); ended != 1 || len(desk.received()) != 1 {
		t.Errorf("it ended %d times", ended)
	}
	if typed("\x03"); ended != 2 {
		t.Errorf("Ctrl+C ended it %d times", ended)
	}
}

func (k *keys) isBusy() bool {
	k.tail.mu.Lock()
	defer k.tail.mu.Unlock()
	return k.busy != nil
}

// TestKeysWhileNobodyAnswers ends at once though the admin API and the program hang, and
// asks neither twice.
func TestKeysWhileNobodyAnswers(t *testing.T) {
	t.Parallel()
	for key, asked := range map[string]string{"d": "an admin API", "r": "a program"} {
		requests := make(chan string, 9)
		hang := make(chan struct{})
		hanging := func(name, answer string) *httptest.Server {
			return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if name == asked {
					requests <- name
					<-hang
				}
				_, _ = io.WriteString(w, answer)
			}))
		}
		api, desk := hanging("an admin API", `[{"id":1,"size":2,"body":{}}]`), hanging("a program", "")
		ctx, end := context.WithCancel(t.Context())
		c := &console{width: 80}
		watch := &tail{c: c, client: &simulate.Client{URL: desk.URL, Secret: receiverSecret, Timeout: time.Hour}, pending: make(chan *happened, 1)}
		watch.address = api.Listener.Addr().String()
		var out bytes.Buffer
		watch.keys = newKeys(watch, end, &out, 80)
		watch.rows = newTailRows(c)
		watch.happened(&happened{Kind: live.Attempt, Event: live.Event{ID: 1, Field: "comments"}})

		in, typed := io.Pipe()
		ended := make(chan struct{})
		go func() { watch.keys.read(ctx, in); close(ended) }()
		_, _ = io.WriteString(typed, key)
		<-requests
		_, _ = io.WriteString(typed, "rdq")
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("q does nothing while %s hangs", asked)
		}
		for watch.keys.isBusy() { // until the end is noticed, long before the answer
			time.Sleep(time.Millisecond)
		}
		if text := out.String(); len(requests) > 0 || strings.Count(text, "Event 1 is not answered yet") != 2 || strings.Contains(text, "interrupted") || strings.Contains(text, "forwarded") {
			t.Errorf("%s was asked %d times more, and is told of so: %q", asked, len(requests), text)
		}
		close(hang)
		watch.client.Close()
		api.Close()
		desk.Close()
	}
}

// TestKeysSelectAmongTheLast bounds what can be selected, which stays selected.
func TestKeysSelectAmongTheLast(t *testing.T) {
	t.Parallel()
	watch := &tail{c: new(console)}
	k := newKeys(watch, nil, io.Discard, 80)
	for id := range uint64(10 * maxSelectable) {
		k.add(&happened{Event: live.Event{ID: id}})
	}
	if len(k.events) != maxSelectable || k.selected().ID != 10*maxSelectable-1 {
		t.Errorf("%d events, %d is selected", len(k.events), k.selected().ID)
	}
	k.move(-10)
	chosen := k.selected().ID
	k.add(&happened{})
	if k.selected().ID != chosen {
		t.Errorf("%d is selected, not %d", k.selected().ID, chosen)
	}
}

// TestScreenIsNotBroken draws from several goroutines.
func TestScreenIsNotBroken(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out, width: 5}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { s.setLine("abcdefgh"); _, _ = io.WriteString(s, "x\n") })
	}
	all.Wait()
	out.Reset()
	if _, _ = io.WriteString(s, "x\ny\n"); out.String() != "\r\x1b[Kx\r\ny\r\nabcd" {
		t.Errorf("it draws %q", &out)
	}
}
