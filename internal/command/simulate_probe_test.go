package command

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
)

// TestSimulateDoesNotTakeAnEmpty200ForAccepted sends to a receiver that answers
// 200 to everybody, as Caddy does where no handler takes a request.
func TestSimulateDoesNotTakeAnEmpty200ForAccepted(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":   "a forged delivery is answered with an empty 200, as Caddy does where no handler takes a request",
		"ok": "a forged delivery is answered with 200",
	} {
		p := newReceiver(t)
		p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })
		args := []string{"--to", p.URL, "--app-secret-file", secretFile(t)}
		code, out, errs := simulateIn(t, "", args...)
		if code != 1 || !strings.Contains(errs, want+": it is not known whether any of 2 was accepted\n") ||
			!strings.Contains(out, "accepted      not known; 200 to 2 of 2, 2 events\n") ||
			!strings.Contains(out, "signatures    not checked: "+want+", so 200 proves nothing\n") {
			t.Errorf("exit code %d, %s%s", code, out, errs)
		}
		code, out, _ = simulateIn(t, "", append(args, "--json")...)
		var got struct {
			OK         bool
			Signatures string
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 1 || got.OK || got.Signatures != "not checked" {
			t.Errorf("exit code %d, %s", code, out)
		}
		for _, key := range []string{`"accepted"`, `"acknowledged"`} {
			if strings.Contains(out, key) {
				t.Errorf("it is not known what was accepted, but there is %s: %s", key, out)
			}
		}
	}
	p := newReceiver(t)
	_, out, _ := simulateIn(t, "", "--to", p.URL, "--app-secret-file", secretFile(t), "--json")
	if !strings.Contains(out, `"accepted": 2`) || !strings.Contains(out, `"acknowledged": 2`) {
		t.Errorf("it is known what was accepted: %s", out)
	}
}

// TestSimulateForgesOnlyWhatItMust counts the forged deliveries that a receiver
// gets: none where it is known already what they are worth.
func TestSimulateForgesOnlyWhatItMust(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args   []string
		forged int32
		want   string
		code   int
	}{
		{nil, 1, "signatures    checked: a forged delivery is answered with 401\n", 0},
		{[]string{"--count", "20", "--bad-signatures", "20%", "--seed", "1"}, 0, "signatures    checked\n", 0},
		{[]string{"--app-secret", "another"}, 0, "accepted      0 of 2, 0 events\n", 1},
	} {
		p := newReceiver(t)
		var others atomic.Int32 // of forged deliveries, those of the account "0"
		p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if event.Split(body)[0].Test {
				others.Add(1)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			p.ServeHTTP(w, r)
		})
		args := []string{"--to", p.URL}
		if !slices.Contains(tc.args, "--app-secret") {
			args = append(args, "--app-secret-file", secretFile(t))
		}
		code, out, errs := simulateIn(t, "", append(args, tc.args...)...)
		if code != tc.code || !strings.Contains(out, tc.want) || others.Load() != tc.forged {
			t.Errorf("%q: exit code %d, %d forged besides\n%s%s", tc.args, code, others.Load(), out, errs)
		}
	}
}

// TestSimulateTellsWhatItCannotKnow has a receiver that goes away before it is
// asked about forged deliveries.
func TestSimulateTellsWhatItCannotKnow(t *testing.T) {
	t.Parallel()
	p := newReceiver(t)
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if event.Split(body)[0].Test {
			panic(http.ErrAbortHandler)
		}
	})
	code, out, errs := simulateIn(t, "", "--to", p.URL, "--app-secret-file", secretFile(t))
	if code != 0 || !strings.Contains(out, "signatures    unknown: no answer to a forged delivery (connection), so what 200 means is not known\n") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

// TestSimulateRetriesThroughADownReceiver goes on although nobody answers the
// verification request, and asks again after the run.
func TestSimulateRetriesThroughADownReceiver(t *testing.T) {
	t.Parallel()
	for name, verifies := range map[string]bool{"comes up": true, "comes up otherwise": false} {
		p := newReceiver(t)
		p.verify = verifies
		var n atomic.Int32
		p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch n.Add(1) {
			case 1, 2: // the verification request, and the first attempt
				panic(http.ErrAbortHandler)
			case 3:
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			p.ServeHTTP(w, r)
		})
		args := []string{"--to", p.URL, "--app-secret-file", secretFile(t), "--verify-token-file", tokenFile(t), "--field", "comments"}
		code, out, errs := simulateIn(t, "", append(args, "--retry", "--speedup", "10000")...)
		want, verification := 0, "verification  ok after the run; before it, Meta would have stopped: "
		if !verifies {
			want, verification = 1, "verification  failed before the run, where Meta would have stopped, and after it: "
		}
		if code != want || !strings.Contains(out, verification) || !strings.Contains(out, "accepted      1 of 1") ||
			!strings.Contains(errs, "Meta would stop here; --retry goes on.") {
			t.Errorf("%s: exit code %d, %s%s", name, code, out, errs)
		}
	}

	// Neither without --retry, nor after a wrong answer.
	p := newReceiver(t)
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	args := []string{"--to", p.URL, "--app-secret-file", secretFile(t), "--verify-token-file", tokenFile(t)}
	if code, out, errs := simulateIn(t, "", args...); code != 1 || strings.Contains(out, "deliveries") || !strings.Contains(errs, "the status is 502") {
		t.Errorf("without --retry: exit code %d, %s%s", code, out, errs)
	}
	p = newReceiver(t)
	p.verify = false
	args[1] = p.URL
	if code, out, errs := simulateIn(t, "", append(args, "--retry")...); code != 1 || strings.Contains(out, "deliveries") || len(p.received()) != 0 {
		t.Errorf("with a wrong token: exit code %d, %s%s", code, out, errs)
	}
}

// TestSimulateGoesOnBehindTornLines replays and verifies what a crash left, and a
// file that is compressed; what is missing of one is no success.
func TestSimulateGoesOnBehindTornLines(t *testing.T) {
	t.Parallel()
	first := newReceiver(t)
	secret := secretFile(t)
	if code, out, errs := simulateIn(t, "", "--to", first.URL, "--app-secret-file", secret, "--count", "10"); code != 0 {
		t.Fatalf("exit code %d, %s%s", code, out, errs)
	}
	lines := strings.SplitAfter(first.log.String(), "\n")
	torn := strings.Join(lines[:4], "") + lines[4][:50] + "\n" + strings.Join(lines[4:], "")
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, torn); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	cut := packed.Bytes()[:packed.Len()-packed.Len()/4]
	for name, tc := range map[string]struct {
		content string
		code    int
		out     string
		errs    string
		sent    int
	}{
		"torn":       {torn, 0, "left out      1 malformed lines\n", "", 10},
		"compressed": {packed.String(), 0, "left out      1 malformed lines\n", "", 10},
		"cut off":    {string(cut), 2, "\nincomplete    line ", "Error: the event file: line ", -1},
		"no events":  {"hello\nworld\n", 2, "left out      2 malformed lines\n", "Error: the event file: none of the lines holds an event, of 2\n", 0},
		"empty":      {"", 0, "deliveries    0\n", "", 0},
	} {
		p := newReceiver(t)
		ledger := filepath.Join(t.TempDir(), "ledger")
		path := writeFile(t, "events-2026.jsonl", tc.content)
		code, out, errs := simulateIn(t, "", "--to", p.URL, "--app-secret-file", secret, "--from-log", path, "--ledger", ledger, "--verify", path)
		got := p.received()
		if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.errs) || tc.errs == "" && errs != "" {
			t.Errorf("%s: exit code %d, %s%s", name, code, out, errs)
		}
		if tc.sent >= 0 && len(got) != tc.sent || tc.sent < 0 && (len(got) == 0 || len(got) == 10) || !slices.Equal(got, first.received()[:len(got)]) {
			t.Errorf("%s: received %q", name, got)
		}
		if !strings.Contains(out, "verified  ") || strings.Contains(out, "missing       ") {
			t.Errorf("%s: not verified: %s", name, out)
		}
	}

	// What was acknowledged, and stands in the rest of a file, is missing.
	ledger := filepath.Join(t.TempDir(), "ledger")
	whole, part := writeFile(t, "whole.zst", packed.String()), writeFile(t, "part", string(cut))
	if code, out, errs := simulateIn(t, "", "--to", first.URL, "--app-secret-file", secret, "--from-log", whole, "--ledger", ledger); code != 0 {
		t.Fatalf("exit code %d, %s%s", code, out, errs)
	}
	code, out, errs := simulateIn(t, "", "--ledger", ledger, "--verify", part, "--json")
	var got struct {
		Verified struct {
			Incomplete, Missing []string
			Malformed           int
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 1 || len(got.Verified.Incomplete) != 1 ||
		!strings.HasPrefix(got.Verified.Incomplete[0], part+": line ") || len(got.Verified.Missing) == 0 || len(got.Verified.Missing) == 10 {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	if code, _, errs := simulateIn(t, "", "--ledger", ledger, "--verify", part, "--verify", whole); code != 0 || errs != "" {
		t.Errorf("exit code %d, %s", code, errs)
	}
	if info, err := os.Stat(part); err != nil || info.Size() != int64(len(cut)) {
		t.Errorf("the file was changed: %v", err)
	}
}
