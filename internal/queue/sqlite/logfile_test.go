package sqlite

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"
	"pgregory.net/rapid"
)

// stubLog is a file in memory. Its writes may fail, and then write a part.
type stubLog struct {
	vfs.File
	content []byte
	writes  int
	broken  bool
}

var errStubLog = errors.New("the write failed")

func (f *stubLog) WriteAt(p []byte, offset int64) (int, error) {
	f.writes++
	if f.broken {
		p = p[:len(p)/2]
	}
	end := int(offset) + len(p)
	f.content = append(f.content, make([]byte, max(0, end-len(f.content)))...)
	copy(f.content[offset:], p)
	if f.broken {
		return len(p), errStubLog
	}
	return len(p), nil
}

func (f *stubLog) ReadAt(p []byte, offset int64) (int, error) {
	return bytes.NewReader(f.content).ReadAt(p, offset)
}

func (f *stubLog) Truncate(size int64) error {
	f.content = f.content[:min(int(size), len(f.content))]
	return nil
}

func (f *stubLog) Sync(vfs.SyncFlag) error { return nil }

func (f *stubLog) Size() (int64, error) { return int64(len(f.content)), nil }

// TestLogFile compares the file with one that nothing is gathered for.
func TestLogFile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		inner, direct := new(stubLog), new(stubLog)
		log := &logFile{File: inner}
		end := 0
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				p := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "p")
				offset := end
				if rapid.IntRange(0, 4).Draw(t, "elsewhere") == 0 {
					offset = rapid.IntRange(0, end).Draw(t, "offset")
				}
				n, err := log.WriteAt(p, int64(offset))
				if n != len(p) || err != nil {
					t.Fatal(n, err)
				}
				_, _ = direct.WriteAt(p, int64(offset))
				end = offset + len(p)
			},
			"read": func(t *rapid.T) {
				offset := rapid.Int64Range(0, int64(end)).Draw(t, "offset")
				got, want := make([]byte, 30), make([]byte, 30)
				n, err := log.ReadAt(got, offset)
				m, wantErr := direct.ReadAt(want, offset)
				if n != m || !errors.Is(err, wantErr) || !bytes.Equal(got, want) {
					t.Fatalf("%d, %v: %x, want %x", n, err, got, want)
				}
			},
			"truncate": func(t *rapid.T) {
				size := rapid.IntRange(0, end).Draw(t, "size")
				if log.Truncate(int64(size)) != nil {
					t.Fatal("truncate")
				}
				_ = direct.Truncate(int64(size))
				end = size
			},
			"size": func(t *rapid.T) {
				got, _ := log.Size()
				if want, _ := direct.Size(); got != want {
					t.Fatal(got, want)
				}
			},
			"sync": func(t *rapid.T) {
				if log.Sync(0) != nil || !bytes.Equal(inner.content, direct.content) {
					t.Fatalf("%x, want %x", inner.content, direct.content)
				}
			},
		})
	})
}

// TestLogFileGathers counts the writes.
func TestLogFileGathers(t *testing.T) {
	t.Parallel()
	inner := new(stubLog)
	log := &logFile{File: inner}
	page := make([]byte, 4096)
	const pages = 2 * maxLogBuffer / 4096
	for i := range int64(pages) {
		_, _ = log.WriteAt(page[:24], i*4120)
		_, _ = log.WriteAt(page, i*4120+24)
	}
	if err := log.Sync(0); err != nil || inner.writes != 3 || len(inner.content) != pages*4120 {
		t.Errorf("%d writes of %d bytes, %v", inner.writes, len(inner.content), err)
	}
	if cap(log.buffer) > 2*maxLogBuffer {
		t.Errorf("the buffer has room for %d bytes", cap(log.buffer))
	}
}

// TestLogFileFails has no transaction be synced of which something is missing, and the next
// one written in its place.
func TestLogFileFails(t *testing.T) {
	t.Parallel()
	inner := new(stubLog)
	log := &logFile{File: inner}
	_, _ = log.WriteAt([]byte("first "), 0)
	if err := log.Sync(0); err != nil {
		t.Fatal(err)
	}
	_, _ = log.WriteAt([]byte("second "), 6)
	inner.broken = true
	for range 2 {
		if err := log.Sync(0); !errors.Is(err, errStubLog) {
			t.Errorf("a sync returns %v", err)
		}
	}
	inner.broken = false
	if _, err := log.WriteAt([]byte("more"), 13); !errors.Is(err, errStubLog) {
		t.Errorf("writing behind it returns %v", err)
	}
	first := make([]byte, 5)
	if _, err := log.ReadAt(first, 0); err != nil || string(first) != "first" {
		t.Errorf("read %q, %v", first, err)
	}
	if _, err := log.WriteAt([]byte("third"), 6); err != nil {
		t.Fatal(err)
	}
	if err := log.Sync(0); err != nil || string(inner.content) != "first third" {
		t.Errorf("%q, %v", inner.content, err)
	}
	all := make([]byte, 20)
	if n, err := log.ReadAt(all, 0); !errors.Is(err, io.EOF) || !slices.Equal(all[:n], inner.content) {
		t.Errorf("read %q, %v", all[:n], err)
	}
}
