package command

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

const forgotten = "17770001"

// eventLines returns an event of somebody in each format that instagram_file writes.
func eventLines(id, who string) (lines []string) {
	body := fmt.Appendf(nil, `{"object":"instagram","entry":[{"id":"178","time":1,"changes":[{"field":"comments","value":{"id":%q,"from":{"id":%q},"text":"words of %[2]s"}}]}]}`, id, who)
	e := event.Split(body)[0]
	return []string{string(e.AppendCloudEvent(nil)), string(e.Envelope()), string(event.AppendLine(nil, []byte("not JSON, "+who)))}
}

// TestForgetInFiles erases lines of all formats, in files of all kinds.
func TestForgetInFiles(t *testing.T) {
	t.Parallel()
	var lines []string
	for i, who := range []string{"1", forgotten, forgotten + "7", forgotten} {
		lines = append(lines, eventLines(fmt.Sprint(i), who)...)
	}
	text := strings.Join(lines, "\n") // the last one is torn
	dir := t.TempDir()
	var paths []string
	for suffix, compress := range map[string]func(io.Writer) io.WriteCloser{
		"":    func(w io.Writer) io.WriteCloser { return w.(io.WriteCloser) },
		".gz": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		".zst": func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
	} {
		path := filepath.Join(dir, "events.jsonl"+suffix)
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			t.Fatal(err)
		}
		w := compress(f)
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		_ = f.Close() // the plain one is closed
		paths = append(paths, path)
	}
	erasure := queue.Erasure{Subject: queue.Subject{User: forgotten}, Because: "request 4711", DryRun: true}
	found, err := forgetInFiles(t.Context(), paths, erasure)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range found.(*forgottenLines).Lines {
		if n := l.Line - 1; !slices.Contains([]int{3, 4, 5, 9, 10, 11}, n) {
			t.Errorf("%s:%d is listed: %s", l.File, l.Line, lines[n])
		}
	}
	if n := len(found.(*forgottenLines).Lines); n != 18 {
		t.Errorf("%d lines are listed, want 18", n)
	}
	erasure.DryRun = false
	if found, err = forgetInFiles(t.Context(), paths, erasure); err != nil || found.(*forgottenLines).Count != 18 {
		t.Fatalf("%+v, %v", found, err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		var left []string
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := eachLine(t.Context(), f, codecOf(path), func(_ int, line []byte) error {
			left = append(left, strings.TrimSuffix(string(line), "\n"))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		_ = f.Close() // it was only read
		if len(left) != len(lines) {
			t.Fatalf("%s has %d lines, want %d", path, len(left), len(lines))
		}
		for i, line := range left {
			erased := i/3 == 1 || i/3 == 3
			if erased != strings.Contains(line, `"erased":"20`) || !erased && line != lines[i] || erased && strings.Contains(line, forgotten) {
				t.Errorf("%s:%d is %s", path, i+1, line)
			}
		}
		if !strings.Contains(left[3], `"id":"instagram/178/comments/1"`) {
			t.Errorf("the identity is gone: %s", left[3])
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != len(paths) {
		t.Errorf("there are other files: %v, %v", entries, err)
	}
}

// TestForgetByAccountAndMessage looks for what is not in the text of a line as it is.
func TestForgetByAccountAndMessage(t *testing.T) {
	t.Parallel()
	message := []byte(`{"object":"instagram","entry":[{"id":"178","time":1,"messaging":[{"sender":{"id":"5"},"recipient":{"id":"178"},"timestamp":1,"message":{"mid":"m\/1","text":"x","reply_to":{"mid":"m0"}}}]}]}`)
	e := event.Split(message)[0]
	for _, text := range [][]byte{e.AppendCloudEvent(nil), message} {
		for subject, want := range map[queue.Subject]bool{
			{Account: "178"}: true, {Account: "5"}: false, {User: "5"}: true, {User: "178"}: true, {User: "17"}: false,
			{Message: "m/1"}: true, {Message: "m0"}: false, {Message: "m"}: false,
		} {
			if holds(text, &subject) != want {
				t.Errorf("%+v in %s: %t", subject, text, !want)
			}
		}
	}
}

// TestForgetWhatIsLeftOfALine erases a line of an account and of who wrote to it, one after the
// other.
func TestForgetWhatIsLeftOfALine(t *testing.T) {
	t.Parallel()
	body := []byte(`{"object":"instagram","entry":[{"id":"178","time":1,"messaging":[{"sender":{"id":"5"},"recipient":{"id":"178"},"timestamp":1,"referral":{"ref":"ad","source":"ADS"}}]}]}`)
	e := event.Split(body)[0]
	account, user := queue.Subject{Account: "178"}, queue.Subject{User: "5"}
	byUser := withoutData(e.AppendCloudEvent(nil), &queue.Erasure{Subject: user})
	if !bytes.Contains(byUser, []byte(`"id":"instagram/178/messaging_referral/erased/1/ad"`)) || holds(byUser, &user) || !holds(byUser, &account) {
		t.Errorf("first the user: %s", byUser)
	}
	byAccount := withoutData(e.AppendCloudEvent(nil), &queue.Erasure{Subject: account})
	if !bytes.Contains(byAccount, []byte(`"id":"instagram/erased/messaging_referral/erased","source":"/instagram/erased"`)) || holds(byAccount, &user) || holds(byAccount, &account) {
		t.Errorf("first the account: %s", byAccount)
	}
	before := []byte(`{"id":"instagram/erased/messaging_referral/5/1/ad","source":"/instagram/erased","erased":"2026-11-30T12:00:00Z"}`)
	if !holds(before, &user) || holds(before, &queue.Subject{User: "1/ad"}) || holds(before, &queue.Subject{Message: "5"}) {
		t.Errorf("by an earlier version: %s", before)
	}
}

// TestForgetInTornLines looks for somebody in lines that a crash has cut off.
func TestForgetInTornLines(t *testing.T) {
	t.Parallel()
	message := []byte(`{"object":"instagram","entry":[{"id":"178","time":1,"messaging":[{"sender":{"id":"5"},"recipient":{"id":"178"},"timestamp":1,"message":{"mid":"m1","text":"x"}}]}]}`)
	e := event.Split(message)[0]
	for _, whole := range [][]byte{e.AppendCloudEvent(nil), message} {
		text := append(whole[:len(whole)-4:len(whole)-4], '\n')
		for subject, want := range map[queue.Subject]bool{
			{Account: "178"}: true, {User: "5"}: true, {Message: "m1"}: true,
			{Account: "17"}: false, {User: "17"}: false, {Message: "m"}: false,
		} {
			if holds(text, &subject) != want {
				t.Errorf("%+v in %s: %t", subject, text, !want)
			}
		}
		left := withoutData(text, &queue.Erasure{Subject: queue.Subject{Account: "178"}})
		if bytes.Contains(left, []byte("178")) {
			t.Errorf("%s is left", left)
		}
	}
}

// TestForgetInFileThatIsWritten rewrites a file again and again to which somebody appends as
// instagram_file does: no line is lost.
func TestForgetInFileThatIsWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	const total = 100
	var writing sync.WaitGroup
	writing.Go(func() {
		var f *os.File
		for n := range total {
			who := "1"
			if n%10 == 0 {
				who = forgotten
			}
			line := eventLines(fmt.Sprint("line", n, "."), who)[0] + "\n"
			for inPlace := false; !inPlace; { // as lines.writeInPlace
				if f == nil || !isAt(f, path) {
					var err error
					if f, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640); err != nil {
						t.Error(err)
						return
					}
				}
				if _, err := f.WriteString(line); err != nil {
					t.Error(err)
					return
				}
				inPlace = isAt(f, path)
			}
		}
	})
	written := make(chan struct{})
	go func() { writing.Wait(); close(written) }()
	for done := false; !done; {
		select {
		case <-written:
			done = true
		default:
		}
		if _, err := os.Stat(path); err == nil {
			erasure := queue.Erasure{Subject: queue.Subject{User: forgotten}, At: time.Now()}
			if _, err := forgetInFiles(t.Context(), []string{path}, erasure); err != nil {
				t.Fatal(err)
			}
		}
	}
	var all []byte
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	for n := range total {
		if !bytes.Contains(all, fmt.Appendf(nil, "comments/line%d.\"", n)) {
			t.Errorf("line %d is lost", n)
		}
	}
	if n := bytes.Count(all, []byte("words of "+forgotten)); n > 0 {
		t.Errorf("%d lines are left in %q", n, files)
	}
}
