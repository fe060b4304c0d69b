package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestSimulateBesideThePathIsNoSuccess plays Meta against a path, and a host, that
// the config has no route for: Caddy answers with an empty 200, and nothing is kept.
func TestSimulateBesideThePathIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := newSimulated(t, func(s *simulated) string {
		return fmt.Sprintf("tls internal\nhandle /webhooks {\n%s\ninstagram_file %q\n}", webhook, s.out("events.jsonl"))
	})
	s.serve(t)
	s.flags = []string{s.flags[0], s.flags[1], s.flags[4], s.flags[5]} // without the verify token
	if p := s.play(t, 0, "--count", "3"); p.Accepted != 3 || p.Signatures != "checked" {
		t.Errorf("on the path: %+v", p)
	}
	kept := len(s.lines(t, "events.jsonl"))
	right := s.url
	for _, beside := range []string{"/", "/instagram"} {
		s.url = right + beside
		p := s.play(t, 1, "--count", "3")
		if p.Answers["200"] != 3 || p.Signatures != "not checked" || !strings.Contains(p.Error.Message, "a forged delivery is answered with an empty 200") {
			t.Errorf("on %s: %+v", beside, p)
		}
	}
	if now := len(s.lines(t, "events.jsonl")); now != kept || kept != 3 {
		t.Errorf("%d events in the file, then %d", kept, now)
	}
}
