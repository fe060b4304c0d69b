package handler

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func newRecorder() (*recorder, *httptest.ResponseRecorder) {
	seen := httptest.NewRecorder()
	w := new(recorder)
	w.ResponseWriter = seen
	return w, seen
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	w, seen := newRecorder()
	w.WriteHeader(http.StatusAccepted)
	w.WriteHeader(http.StatusTeapot)
	if _, err := io.WriteString(w, "one "); err != nil {
		t.Fatal(err)
	}
	if n, err := w.ReadFrom(strings.NewReader("two")); n != 3 || err != nil {
		t.Errorf("copied %d: %v", n, err)
	}
	if !w.written() || w.status != http.StatusAccepted || w.size != 7 {
		t.Errorf("recorded %d and %d bytes", w.status, w.size)
	}
	if seen.Code != http.StatusAccepted || seen.Body.String() != "one two" {
		t.Errorf("passed on %d %q", seen.Code, seen.Body)
	}
}

func TestRecorderAwaitsTheLastStatus(t *testing.T) {
	t.Parallel()
	w, _ := newRecorder()
	if w.WriteHeader(http.StatusEarlyHints); w.written() {
		t.Error("103 is taken for the answer")
	}
	if w.WriteHeader(http.StatusAccepted); !w.written() || w.status != http.StatusAccepted {
		t.Errorf("recorded %d after 103 and 202", w.status)
	}
}

func TestRecorderImpliesAnAnswer(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*recorder) error{
		"Write":    func(w *recorder) error { _, err := w.Write(nil); return err },
		"ReadFrom": func(w *recorder) error { _, err := w.ReadFrom(strings.NewReader("")); return err },
	} {
		if w, _ := newRecorder(); write(w) != nil || w.status != http.StatusOK {
			t.Errorf("%s: recorded %d, want 200", name, w.status)
		}
	}
}

// TestRecorderFlushesNoHeader checks that a flush before the answer does not
// answer 200 past the recorder: the delivery would count as taken.
func TestRecorderFlushesNoHeader(t *testing.T) {
	t.Parallel()
	w, seen := newRecorder()
	flush := func() {
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	}
	if flush(); seen.Flushed {
		t.Error("flushed before there was an answer")
	}
	w.WriteHeader(http.StatusOK)
	if flush(); !seen.Flushed {
		t.Error("not flushed after there was an answer")
	}
}
