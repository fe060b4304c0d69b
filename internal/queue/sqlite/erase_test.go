package sqlite

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// The words of the person who is erased, and her id, which an id of others contains.
const (
	person  = "17770001"
	another = "177700015"
	words   = "these are her words"
)

// said returns an event in which somebody says something, of a size.
func said(identity, who, what string, size int) queue.Record {
	r := record("instagram/178/messages/"+identity+"/"+who, "178/"+who)
	r.Body = fmt.Appendf(nil, `{"from":{"id":%q},"text":"%s"}`, who, strings.Repeat(what+" ", 1+size/len(what)))
	return r
}

// lived fills a queue, and has events settled, requeued, expired and discarded at random, so
// that pages are split, joined and given up.
func lived(t *testing.T, s *Store) {
	random := rand.New(rand.NewPCG(1, 2))
	sizes := []int{10, 200, 900, 3000, 9000, 50_000}
	for n := range 120 {
		var records []queue.Record
		for i := range 1 + random.IntN(12) {
			who, what := another, "somebody else says this"
			if random.IntN(4) == 0 {
				who, what = person, words
			}
			records = append(records, said(fmt.Sprint(n, ".", i), who, what, sizes[random.IntN(len(sizes))]))
			if random.IntN(2) == 0 {
				records[i].Conversation = ""
			}
		}
		accept(t, s, records...)
		for _, e := range due(t, s, random.IntN(12)) {
			failed := queue.Attempt{Ended: time.Now(), Status: 500, Error: "500: " + string(e.Body[:min(80, len(e.Body))]), Answer: e.Body[:min(1000, len(e.Body))]}
			settle(t, s, e, []queue.Outcome{
				{State: queue.Delivered},
				{State: queue.Dead, Attempt: failed},
				{State: queue.Pending, Due: time.Now().Add(time.Hour), Attempt: failed},
			}[random.IntN(3)])
		}
		switch random.IntN(8) {
		case 0:
			expireAll(t, s)
		case 1:
			if _, err := s.Requeue(ctx, queue.Filter{State: queue.Dead}, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// in returns how often a text stands in the files of a queue.
func in(t *testing.T, s *Store, text string) (n int) {
	t.Helper()
	files, err := filepath.Glob(s.path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(data, []byte(text))
	}
	return n
}

// TestNothingIsLeft looks for what was erased in all bytes of the files: also those that
// SQLite does not use any more.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	lived(t, s)
	forgotten := in(t, s, words)
	listed, err := s.List(ctx, queue.Filter{Bodies: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range listed {
		forgotten -= bytes.Count(e.Body, []byte(words))
	}
	if forgotten < 100 {
		t.Errorf("the files hold only %d copies that SQLite does not use: the test is too weak", forgotten)
	}
	n, err := s.Erase(ctx, queue.Erasure{Subject: queue.Subject{User: person}, At: time.Now(), Because: "asked for"})
	if err != nil || n < 50 {
		t.Fatalf("erased %d events, %v", n, err)
	}
	for _, text := range []string{words, words[5:], `"` + person + `"`, "/" + person + "\""} {
		if n := in(t, s, text); n > 0 {
			t.Errorf("the files hold %q %d times", text, n)
		}
	}
	if n := in(t, s, person) - in(t, s, another); n != 0 {
		t.Errorf("the files hold the id of the person %d times", n)
	}
	if in(t, s, "somebody else says this") == 0 {
		t.Error("the words of others are gone")
	}
	check(t, s)
}

// TestEraseWhileAccepting erases among many events while others are accepted.
func TestEraseWhileAccepting(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for n := range 20 {
		accept(t, s, append(batch(fmt.Sprint(n), 200), said(fmt.Sprint(n), person, words, 100))...)
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if _, err := s.Accept(ctx, batch(fmt.Sprint("more", n), 10), queue.Admission{}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	n, err := s.Erase(ctx, queue.Erasure{Subject: queue.Subject{User: person}, At: time.Now()})
	close(stop)
	if n != 20 || err != nil || in(t, s, words) > 0 {
		t.Errorf("erased %d events, %v, and the files hold the words %d times", n, err, in(t, s, words))
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	check(t, s)
}
