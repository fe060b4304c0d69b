package simulate

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/caddy-instagram/webhooks/event"
)

// compressions are ways to write files that are compressed.
var compressions = map[string]func(t *testing.T, text []byte) []byte{
	"gzip": func(t *testing.T, text []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(text); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	},
	"zstd": func(t *testing.T, text []byte) []byte {
		var out bytes.Buffer
		w, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	},
}

// logged returns n comments as lines of CloudEvents, and their identities.
func logged(t *testing.T, n int) (text []byte, ids []string) {
	t.Helper()
	for _, body := range collect(t, comments(n)) {
		for _, e := range event.Split([]byte(body)) {
			text = append(e.AppendCloudEvent(text), '\n')
			ids = append(ids, e.ID())
		}
	}
	return text, ids
}

// TestCompressedFilesAreRead reads rolled files whatever their names, also when
// one was appended to another, or begins with a frame that is to be skipped.
func TestCompressedFilesAreRead(t *testing.T) {
	t.Parallel()
	text, ids := logged(t, 50)
	var l Ledger
	acknowledge(t, &l, ids...)
	half := bytes.IndexByte(text[len(text)/2:], '\n') + len(text)/2 - 7 // in the middle of a line
	for name, compress := range compressions {
		files := map[string][]byte{
			"one stream":  compress(t, text),
			"two streams": append(compress(t, text[:half]), compress(t, text[half:])...),
		}
		if name == "zstd" {
			files["skippable"] = append([]byte{0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'h', 'i'}, compress(t, text)...)
		}
		for what, content := range files {
			path := write(t, "events.jsonl", string(content))
			if report, err := l.Verify(EventFiles(path)); err != nil || report.Found != 50 || report.Others+report.Malformed+len(report.Incomplete) != 0 {
				t.Errorf("%s, %s: %+v, %v", name, what, report, err)
			}
			var got []string
			for _, body := range collect(t, Replay(bytes.NewReader(content), 1)) {
				got = append(got, identities(event.Split([]byte(body)))...)
			}
			if !slices.Equal(got, ids) {
				t.Errorf("%s, %s: replayed %q", name, what, got)
			}
		}
	}
}

// TestCutOffCompressedFilesAreReadAsFarAsTheyGo holds that what can be read is,
// and that the rest does not look like a file that ends there.
func TestCutOffCompressedFilesAreReadAsFarAsTheyGo(t *testing.T) {
	t.Parallel()
	text, ids := logged(t, 2000)
	var l Ledger
	acknowledge(t, &l, ids...)
	for name, compress := range compressions {
		whole := compress(t, text)
		damaged := slices.Clone(whole)
		damaged[len(damaged)-3] ^= 1 // the checksum
		for what, content := range map[string][]byte{
			"cut":     whole[:len(whole)-len(whole)/8],
			"head":    whole[:9],
			"damaged": damaged,
			"garbage": append(slices.Clone(whole), "\nno stream"...),
		} {
			path := write(t, "events.gz", string(content))
			report, err := l.Verify(EventFiles(path, write(t, "next", "")))
			if err != nil || len(report.Incomplete) != 1 || !strings.HasPrefix(report.Incomplete[0], path+": line ") ||
				!strings.Contains(report.Incomplete[0], ErrIncomplete.Error()) {
				t.Errorf("%s, %s: %+v, %v", name, what, report, err)
				continue
			}
			if most := what != "head"; most != (report.Found > 500) || report.Found+len(report.Missing) != 2000 {
				t.Errorf("%s, %s: %d found, %d missing", name, what, report.Found, len(report.Missing))
			}
			c, rc := newClient(t, answering(ok))
			sum, err := (&Run{Client: c, Deliveries: Take(Replay(bytes.NewReader(content), 100), 3000)}).Do(t.Context())
			if err != nil || !strings.Contains(sum.Incomplete, ErrIncomplete.Error()) || sum.Acknowledged != report.Found || len(rc.received()) != sum.Deliveries {
				t.Errorf("%s, %s: %+v, %v", name, what, sum, err)
			}
		}
	}
}

// TestDiskThatCannotBeReadIsNoCutOffFile tells what is wrong with a file's
// contents from what is wrong with the disk.
func TestDiskThatCannotBeReadIsNoCutOffFile(t *testing.T) {
	t.Parallel()
	text, _ := logged(t, 50)
	broken := errors.New("the disk is broken")
	for name, content := range map[string][]byte{"gzip": compressions["gzip"](t, text), "zstd": compressions["zstd"](t, text), "plain": text} {
		for _, at := range []int{0, 3, len(content) / 2} {
			var last error
			for _, err := range Replay(io.MultiReader(bytes.NewReader(content[:at]), iotest.ErrReader(broken)), 1) {
				last = err
			}
			if !errors.Is(last, broken) || errors.Is(last, ErrIncomplete) {
				t.Errorf("%s, after %d bytes: %v", name, at, last)
			}
		}
	}
}

// TestTornLinesAreSkippedAndCounted sends what stands before and after a line
// that a crash cut off, one of zeros, and one that is too long, in the same order
// with every fault.
func TestTornLinesAreSkippedAndCounted(t *testing.T) {
	t.Parallel()
	text, ids := logged(t, 6)
	lines := strings.SplitAfter(string(text), "\n")
	torn := lines[0] + lines[1][:40] + "\n" + lines[1] + strings.Repeat("\x00", 5000) + "\n" + lines[2] +
		strings.Repeat("x", maxLine+1) + "\n" + lines[3] + lines[4] + lines[5][:len(lines[5])-5]
	for _, batch := range []int{1, 1000} {
		c, rc := newClient(t, answering(ok))
		sum, err := (&Run{Client: c, Deliveries: Replay(strings.NewReader(torn), batch)}).Do(t.Context())
		if err != nil || sum.Malformed != 4 || sum.Acknowledged != 5 || sum.Incomplete != "" || !sum.AsExpected() {
			t.Errorf("batches of %d: %+v, %v", batch, sum, err)
		}
		var got []string
		for _, r := range rc.received() {
			got = append(got, identities(event.Split([]byte(r.body)))...)
		}
		if !slices.Equal(got, ids[:5]) {
			t.Errorf("batches of %d: received %q", batch, got)
		}
	}

	// They do not count as deliveries, and do not change the faults of a seed.
	for _, text := range []string{torn, strings.Join(lines[:5], "")} {
		c, rc := newClient(t, answering(ok))
		sum, err := (&Run{
			Client: c, Deliveries: Take(Replay(strings.NewReader(text), 1), 5),
			Faults: Faults{Seed: 3, Duplicates: 0.5, OutOfOrder: true, BadSignatures: 0.2},
		}).Do(t.Context())
		if err != nil || sum.Deliveries-sum.Duplicates != 5 || len(rc.received()) != sum.Deliveries {
			t.Errorf("%+v, %v", sum, err)
		}
	}
	var l Ledger
	acknowledge(t, &l, ids...)
	if report, err := l.Verify(EventFiles(write(t, "torn", torn))); err != nil || report.Found != 5 || report.Malformed != 4 {
		t.Errorf("%+v, %v", report, err)
	}
}
