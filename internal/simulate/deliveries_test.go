package simulate

import (
	"bytes"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/event"
)

// collect returns the deliveries, of which none may fail.
func collect(t *testing.T, from Deliveries) (bodies []string) {
	t.Helper()
	for body, err := range from {
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, string(body))
	}
	return bodies
}

var (
	stringsOf = regexp.MustCompile(`"(?:[^"\\]|\\.)*"(:?)`)
	numbersOf = regexp.MustCompile(`\d+`)
	slashes   = regexp.MustCompile(`\\?/`)
	escapes   = regexp.MustCompile(`\\u(....)`)
)

// skeleton is what is left of a body without what is made up: its names in
// their order, its spaces, how slashes are written, and the lengths of numbers.
func skeleton(body string) string {
	body = stringsOf.ReplaceAllStringFunc(body, func(text string) string {
		if name := strings.HasSuffix(text, ":"); name {
			return text
		}
		if text[1] >= '0' && text[1] <= '9' {
			return "ID"
		}
		return "TEXT" + slashes.FindString(text)
	})
	return numbersOf.ReplaceAllStringFunc(body, func(n string) string { return strings.Repeat("9", len(n)) })
}

// TestLooks holds what is made up against bodies that were written by hand:
// each looks like one of them, and there is one that looks like each.
func TestLooks(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join("testdata", "bodies", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no bodies", err)
	}
	looks := make(map[string]string)
	for _, path := range paths {
		name := filepath.Base(path)
		looks[skeleton(readFile(t, "bodies", name))] = name
	}
	seen := make(map[string]bool)
	fields := []string{"comments", "mentions", "messages"}
	made := slices.Concat(
		collect(t, Take(Sample{Seed: 8, Fields: fields}.Deliveries(), 600)),
		collect(t, Take(Sample{Seed: 8, Fields: []string{"comments", "messages"}, TestButton: true}.Deliveries(), 2)))
	for _, body := range made {
		// A slash in a text, as in "and/or", is as good as none.
		look := skeleton(body)
		name, known := looks[look]
		if !known {
			look = strings.NewReplacer(`"text":TEXT\/`, `"text":TEXT`, `"text": TEXT/`, `"text": TEXT`).Replace(look)
			name, known = looks[look]
		}
		if !known {
			look = strings.Replace(look, `"text":TEXT`, `"text":TEXT\/`, 1)
			name, known = looks[look]
		}
		if !known {
			t.Fatalf("nothing in testdata looks like\n%s\n%s", body, look)
		}
		seen[name] = true
		for _, unit := range escapes.FindAllStringSubmatch(body, -1) {
			if strings.ToLower(unit[1]) != unit[1] {
				t.Errorf("escape %s in %s", unit[0], body)
			}
		}
		if i := strings.IndexFunc(body, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
			t.Errorf("not ASCII: %s", body)
		}
	}
	for _, path := range paths {
		if name := filepath.Base(path); !seen[name] {
			t.Errorf("nothing was made that looks like %s", name)
		}
	}
}

func TestSample(t *testing.T) {
	t.Parallel()
	s := Sample{Seed: 5, Fields: []string{"comments", "messages", "mentions", "message_reactions"}, Batch: 3}
	bodies := collect(t, Take(s.Deliveries(), 8))
	var firsts []string
	ids := make(map[string]bool)
	for _, body := range bodies {
		events := event.Split([]byte(body))
		firsts = append(firsts, events[0].Field)
		for i := range events {
			if events[i].Kind != events[0].Kind {
				t.Errorf("both families in %s", body)
			}
			ids[events[i].ID()] = true
		}
	}
	if want := []string{"comments", "messages", "mentions", "message_reactions"}; !slices.Equal(firsts, append(want, want...)) {
		t.Errorf("first fields %v", firsts)
	}
	if len(ids) != 24 {
		t.Errorf("%d ids", len(ids))
	}
	if !slices.Equal(bodies, collect(t, Take(s.Deliveries(), 8))) {
		t.Error("not the same again")
	}
	s.Seed++
	if slices.Equal(bodies, collect(t, Take(s.Deliveries(), 8))) {
		t.Error("the seed does not matter")
	}
}

// TestSampleNow makes events that happened a short time ago.
func TestSampleNow(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, time.March, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { now = now.Add(time.Hour); return now }
	for body := range Take(Sample{Fields: []string{"messages"}, Batch: 50, Now: clock}.Deliveries(), 3) {
		for _, ev := range event.Split(body) {
			if age := now.Sub(ev.Sent); age < 0 || age > 2*time.Minute {
				t.Errorf("sent %s ago", age)
			}
			if age := now.Sub(ev.Time); age < 0 || age > 2*time.Minute {
				t.Errorf("happened %s ago", age)
			}
		}
	}
}

func TestSampleWithoutFields(t *testing.T) {
	t.Parallel()
	n := 0
	for body, err := range (Sample{}).Deliveries() {
		if n++; err == nil || body != nil {
			t.Errorf("%s, %v", body, err)
		}
	}
	if n != 1 {
		t.Errorf("%d deliveries", n)
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{-1: 0, 0: 0, 1: 1, 5: 5} {
		if got := len(collect(t, Take(Repeat([]byte("x")), n))); got != want {
			t.Errorf("%d of %d", got, n)
		}
	}
	asked := 0
	for range Take(func(yield func([]byte, error) bool) {
		for asked = 1; yield(nil, nil); asked++ {
		}
	}, 3) {
	}
	if asked != 3 {
		t.Errorf("%d were asked for, for 3", asked)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	made := collect(t, Take(Sample{Seed: 3, Fields: []string{"comments", "messages"}, Batch: 2}.Deliveries(), 40))
	var all []event.Event
	for _, body := range made {
		all = append(all, event.Split([]byte(body))...)
	}
	want := identities(all)
	for name, write := range map[string]func(*event.Event) []byte{
		"cloudevents": func(e *event.Event) []byte { return e.AppendCloudEvent(nil) },
		"meta":        func(e *event.Event) []byte { return e.Envelope() },
	} {
		var log bytes.Buffer
		for i := range all {
			log.Write(append(write(&all[i]), '\n'))
		}
		for batch, deliveries := range map[int]int{1: 80, 7: 12, 1000: 2} {
			bodies := collect(t, Replay(bytes.NewReader(log.Bytes()), batch))
			if len(bodies) != deliveries {
				t.Errorf("%s: %d deliveries in batches of %d", name, len(bodies), batch)
			}
			var got []string
			for _, body := range bodies {
				got = append(got, identities(event.Split([]byte(body)))...)
				if FamilyOf(event.Split([]byte(body))) == Messaging != strings.HasPrefix(body, `{"object":"instagram","entry":[{"time":17`) ||
					strings.HasPrefix(body, `{"entry": [{"id": "17`) != strings.HasSuffix(body, `]}], "object": "instagram"}`) {
					t.Errorf("looks like none of Meta's: %s", body)
				}
			}
			if batch > 1 {
				slices.Sort(got)
			}
			if want := sortedIf(batch > 1, want); !slices.Equal(got, want) {
				t.Errorf("%s in batches of %d: other events, or in another order", name, batch)
			}
		}
	}
}

func sortedIf(sort bool, ids []string) []string {
	if sort {
		return slices.Sorted(slices.Values(ids))
	}
	return ids
}

// TestReplayOfOne gives back what was sent, byte for byte.
func TestReplayOfOne(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"comment.json", "message.json", "test-button-messages.json"} {
		body := readFile(t, "bodies", name)
		for _, ev := range event.Split([]byte(body)) {
			if got := collect(t, Replay(bytes.NewReader(ev.Envelope()), 1)); len(got) != 1 || got[0] != body {
				t.Errorf("%q, want\n%s", got, body)
			}
		}
	}
}

func TestReplayOfOddLines(t *testing.T) {
	t.Parallel()
	lines := strings.Join([]string{
		`[{"object":"instagram","entry":[{"id":"1","time":5,"changes":[{"field":"a","value":1}]}]}]`,
		``,
		`{"object":"instagram","extra":1,"entry":[{"id":"1"}]}`,
		`{"specversion":"1.0","id":"//unparsed/sha256:aa","datacontenttype":"application/octet-stream","data_base64":"YQpi"}`,
		`{"data_base64":"/w=="}`,
		`{"data_base64":"eyJvYmplY3QiOiJvIiwiZW50cnkiOlsxXQ=="}`,
		`{"object":"instagram","entry":[7]}`,
		`{"object":"page","entry":[{"uid":"2","id":"2","time":5,"changed_fields":["photos"]}]}`,
	}, "\n")
	want := []string{
		`[{"object":"instagram","entry":[{"id":"1","time":5,"changes":[{"field":"a","value":1}]}]}]`,
		`{"object":"instagram","extra":1,"entry":[{"id":"1"}]}`,
		"a\nb",
		"\xff",
		`{"object":"o","entry":[1]`,
		`{"entry": [7], "object": "instagram"}`,
		`{"entry": [{"id": "2", "time": 5, "uid": "2", "changed_fields": ["photos"]}], "object": "page"}`,
	}
	if got := collect(t, Replay(strings.NewReader(lines), 1)); !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

func TestReplayOfMalformedLine(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"cut off":         `{"specversion":"1.0","id":"x"`,
		"without data":    `{"specversion":"1.0","id":"x"}`,
		"without an id":   `{"specversion":"1.0","data":{}}`,
		"not JSON at all": `hello`,
	} {
		var errs []error
		for body, err := range Replay(strings.NewReader(`{"object":"o","entry":[1]}`+"\n"+text), 10) {
			if body == nil {
				errs = append(errs, err)
			}
		}
		if len(errs) != 1 || !errors.Is(errs[0], ErrMalformed) || !strings.HasPrefix(errs[0].Error(), "line 2: ") {
			t.Errorf("%s: %v", name, errs)
		}
	}
}
