package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
)

// seen is which identities were seen, and when. What came since the last
// checkpoint is in memory. A checkpoint stores that as a run, sorted, and a run
// that would be much larger than the one before makes one with it: so there are
// few. The filters of the runs are in memory: they tell for most identities that
// there is no need to look.
type seen struct {
	table  table
	recent map[identity]uint64
	runs   []run // the oldest first
}

// run is what is known of a run that is stored.
type run struct {
	number uint64 // its key in bucketSeen
	count  int
	newest uint64 // time
	filter filter
}

// maxRun is how many identities a run has at most: what a checkpoint writes
// besides what was changed is at most one of these. Tests set it lower.
var maxRun = 1 << 16

// A stored run begins with the number of its identities and the newest of their
// times. These follow, sorted, each with its time, and the filter.
const (
	runHead  = 4 + 8
	seenSize = len(identity{}) + 8
)

func newSeen() *seen { return &seen{recent: make(map[identity]uint64)} }

// load learns which runs are stored.
func (s *seen) load() error {
	s.runs = nil
	return s.table.ForEach(func(key, value []byte) error {
		r := run{number: lastID(key)}
		entries, ok := r.decode(value)
		if !ok {
			return fmt.Errorf("the queue is damaged: the identities of run %d are incomplete", r.number)
		}
		r.filter = bytes.Clone(value[runHead+len(entries):])
		s.runs = append(s.runs, r)
		return nil
	})
}

// decode reads the head of a stored run, and returns its identities.
func (r *run) decode(value []byte) (entries []byte, ok bool) {
	if len(value) < runHead {
		return nil, false
	}
	r.count = int(binary.BigEndian.Uint32(value))
	r.newest = binary.BigEndian.Uint64(value[4:])
	if len(value) != runHead+r.count*seenSize+filterSize(r.count) {
		return nil, false
	}
	return value[runHead : runHead+r.count*seenSize], true
}

// at returns when an identity was accepted last, or 0.
func (s *seen) at(id identity) uint64 {
	if at, ok := s.recent[id]; ok {
		return at
	}
	for i := len(s.runs) - 1; i >= 0; i-- {
		if r := &s.runs[i]; r.filter.has(id) {
			if at := r.at(s.table, id); at != 0 {
				return at
			}
		}
	}
	return 0
}

func (r *run) at(b table, id identity) uint64 {
	entries, ok := new(run).decode(b.Get(number(r.number)))
	if !ok {
		return 0
	}
	n := len(entries) / seenSize
	i := sort.Search(n, func(i int) bool { return bytes.Compare(entries[i*seenSize:][:len(id)], id[:]) >= 0 })
	if i == n || !bytes.Equal(entries[i*seenSize:][:len(id)], id[:]) {
		return 0
	}
	return binary.BigEndian.Uint64(entries[i*seenSize+len(id):])
}

// store stores what is in memory as a run.
func (s *seen) store() error {
	b := s.table
	if len(s.recent) == 0 {
		return nil
	}
	entries := make([]byte, 0, len(s.recent)*seenSize)
	for _, id := range sorted(s.recent, compareIdentities) {
		entries = binary.BigEndian.AppendUint64(append(entries, id[:]...), s.recent[id])
	}
	for len(s.runs) > 0 {
		last := s.runs[len(s.runs)-1]
		if n := len(entries) / seenSize; last.count >= 2*n || last.count+n > maxRun {
			break
		}
		older, ok := new(run).decode(b.Get(number(last.number)))
		if !ok {
			return errDamaged
		}
		entries = merge(older, entries)
		if err := b.Delete(number(last.number)); err != nil {
			return err
		}
		s.runs = s.runs[:len(s.runs)-1]
	}
	r, value := newRun(entries)
	var err error
	if r.number, err = b.NextSequence(); err != nil {
		return err
	}
	if err := b.Put(number(r.number), value); err != nil {
		return err
	}
	s.runs = append(s.runs, r)
	clear(s.recent)
	return nil
}

// newRun makes a run of sorted identities, which value is to be stored.
func newRun(entries []byte) (r run, value []byte) {
	r.count = len(entries) / seenSize
	r.filter = newFilter(r.count)
	for entry := range slices.Chunk(entries, seenSize) {
		r.filter.add(identity(entry[:16]))
		r.newest = max(r.newest, binary.BigEndian.Uint64(entry[16:]))
	}
	value = make([]byte, 0, runHead+len(entries)+len(r.filter))
	value = binary.BigEndian.AppendUint32(value, uint32(r.count))
	value = binary.BigEndian.AppendUint64(value, r.newest)
	return r, append(append(value, entries...), r.filter...)
}

// merge returns the identities of two runs, with the newer time of those in both.
func merge(older, newer []byte) []byte {
	all := make([]byte, 0, len(older)+len(newer))
	for len(older) > 0 && len(newer) > 0 {
		switch order := bytes.Compare(older[:16], newer[:16]); {
		case order < 0:
			all, older = append(all, older[:seenSize]...), older[seenSize:]
		case order == 0:
			older = older[seenSize:]
		default:
			all, newer = append(all, newer[:seenSize]...), newer[seenSize:]
		}
	}
	return append(append(all, older...), newer...)
}

// filter tells which identities are not in a run. Of those that are not, it errs
// about one in a hundred and fifty.
type filter []byte

// filterBits is how many bits a filter has for each identity.
const filterBits = 12

func filterSize(identities int) int { return (identities*filterBits + 7) / 8 }

func newFilter(identities int) filter { return make(filter, filterSize(identities)) }

// bit returns the ith of the four bits of an identity, which is a hash.
func (f filter) bit(id *identity, i int) (index uint64, mask byte) {
	n := uint64(binary.BigEndian.Uint32(id[4*i:])) * uint64(8*len(f)) >> 32
	return n / 8, 1 << (n % 8)
}

func (f filter) add(id identity) {
	for i := range 4 {
		index, mask := f.bit(&id, i)
		f[index] |= mask
	}
}

func (f filter) has(id identity) bool {
	for i := range 4 {
		if index, mask := f.bit(&id, i); f[index]&mask == 0 {
			return false
		}
	}
	return true
}
