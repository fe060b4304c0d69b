package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
)

// Ledger keeps the identities of the events that a receiver acknowledged with
// 200: those it must not lose. The zero Ledger is empty and keeps them in
// memory alone. It can be used from many goroutines.
type Ledger struct {
	mu   sync.Mutex
	ids  map[string]struct{}
	file *os.File
}

// OpenLedger opens or creates a ledger file, which has one identity a line. What
// it holds already counts as acknowledged, and new identities are appended. A
// file that holds something else is left alone.
func OpenLedger(path string) (*Ledger, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	l := &Ledger{file: file}
	cut, err := l.load(file)
	if err == nil && cut {
		_, err = file.WriteString("\n")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the ledger: %w", err), file.Close())
	}
	return l, nil
}

// ReadLedger reads a ledger file that must exist, to verify against it.
func ReadLedger(path string) (*Ledger, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	defer file.Close()
	l := new(Ledger)
	if _, err := l.load(file); err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	return l, nil
}

// load reads identities. cut tells that the last line does not end: it counts
// all the same, to be reported rather than forgotten.
func (l *Ledger) load(r io.Reader) (cut bool, err error) {
	l.ids = make(map[string]struct{})
	in := bufio.NewReaderSize(r, maxIdentity)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		id, whole := strings.CutSuffix(string(line), "\n")
		if err == bufio.ErrBufferFull || strings.ContainsFunc(id, foreign) {
			return false, fmt.Errorf("line %d is no identity of an event, so this is no ledger", n)
		}
		if id != "" {
			l.ids[id] = struct{}{}
			cut = !whole
		}
		switch {
		case err == io.EOF:
			return cut, nil
		case err != nil:
			return false, err
		}
	}
}

// maxIdentity is longer than any identity, in bytes.
const maxIdentity = 4096

// foreign reports whether a character stands in no identity.
func foreign(r rune) bool { return r <= ' ' || r > '~' || r == '"' }

// Acknowledge records the identities of events that were answered with 200.
func (l *Ledger) Acknowledge(ids ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids == nil {
		l.ids = make(map[string]struct{})
	}
	var lines []byte
	for _, id := range ids {
		if _, known := l.ids[id]; !known {
			l.ids[id] = struct{}{}
			lines = append(append(lines, id...), '\n')
		}
	}
	if l.file == nil || len(lines) == 0 {
		return nil
	}
	if _, err := l.file.Write(lines); err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	return nil
}

// Len returns the number of identities.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ids)
}

func (l *Ledger) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.ids[id]
	return known
}

// Close closes the ledger's file, if it has one.
func (l *Ledger) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Report is the result of comparing what a receiver kept with a Ledger.
type Report struct {
	// Acknowledged is the number of identities in the ledger.
	Acknowledged int `json:"acknowledged"`

	// Found is how many of them the receiver kept.
	Found int `json:"found"`

	// Missing are the others, sorted: they are lost.
	Missing []string `json:"missing,omitempty"`

	// Others is the number of events that the receiver kept besides: of earlier
	// runs, of other senders, or sent but not acknowledged in time.
	Others int `json:"others"`

	// Repeated is how many times the receiver kept an acknowledged event that it
	// had already.
	Repeated int `json:"repeated"`

	// Malformed is the number of lines that hold no event, such as one that a
	// crash cut off.
	Malformed int `json:"malformed"`

	// Incomplete says of files that could not be read to their ends why. What
	// could be read of them counts.
	Incomplete []string `json:"incomplete,omitempty"`
}

// Verify compares the ledger with the identities of the events that a receiver
// kept, in any order. An error that wraps ErrMalformed or ErrIncomplete is
// reported; any other ends the comparison and is returned. However much the
// receiver kept, only what is in the ledger takes memory.
//
// What is acknowledged while Verify runs may be counted as missing.
func (l *Ledger) Verify(kept iter.Seq2[string, error]) (*Report, error) {
	report := new(Report)
	found := make(map[string]struct{})
	for id, err := range kept {
		switch {
		case errors.Is(err, ErrMalformed):
			report.Malformed++
			continue
		case errors.Is(err, ErrIncomplete):
			report.Incomplete = append(report.Incomplete, err.Error())
			continue
		case err != nil:
			return nil, err
		}
		if !l.has(id) {
			report.Others++
		} else if _, again := found[id]; again {
			report.Repeated++
		} else {
			found[id] = struct{}{}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	report.Acknowledged, report.Found = len(l.ids), len(found)
	for id := range l.ids {
		if _, ok := found[id]; !ok {
			report.Missing = append(report.Missing, id)
		}
	}
	slices.Sort(report.Missing)
	return report, nil
}
