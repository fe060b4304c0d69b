package bolt

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"

	bbolt "go.etcd.io/bbolt"
)

// seen is which identities were seen, and when. What came since the last
// checkpoint is in memory. A checkpoint stores that as a run, sorted, and a run
// that would be much larger than the one before makes one with it: so there are
// few. The filters of the runs are in memory: they tell for most identities that
// there is no need to look.
type seen struct {
	bucket *bbolt.Bucket
	recent map[identity]uint64
	runs   []run // the oldest first
}

// run is what is known of a run that is stored.
type run struct {
	number uint64
	count  int    // of identities
	newest uint64 // of their times
	filter filter
}

// maxRun is how many identities a run has at most: what a checkpoint writes
// besides what was changed is at most one of these. Tests set it lower.
var maxRun = 1 << 16

// A stored run begins with the number of its identities and the newest of their
// times. These follow, sorted, each with its time, and the filter. It is in a
// bucket of its own: beside others in a page it would be written again with each
// of them.
const (
	runHead  = 4 + 8
	seenSize = identitySize + 8
)

var keyRun = []byte("run")

func newSeen() *seen { return &seen{recent: make(map[identity]uint64)} }

// load learns which runs are stored, and returns how many of them are damaged.
// These are left out: that an event comes twice is better than that none does.
func (s *seen) load() (damaged int, err error) {
	s.runs = nil
	err = s.bucket.ForEachBucket(func(key []byte) error {
		r, _, ok := s.stored(lastID(key))
		if !ok {
			damaged++
			return nil
		}
		r.filter = bytes.Clone(r.filter)
		s.runs = append(s.runs, r)
		return nil
	})
	return damaged, err
}

// stored reads a stored run. Its filter and its identities are valid until the end
// of the transaction, or its next change. It reports false for a damaged run.
func (s *seen) stored(n uint64) (r run, entries []byte, ok bool) {
	b := s.bucket.Bucket(number(n))
	if b == nil {
		return r, nil, false
	}
	value := b.Get(keyRun)
	if len(value) < runHead {
		return r, nil, false
	}
	r = run{number: n, count: int(binary.BigEndian.Uint32(value)), newest: binary.BigEndian.Uint64(value[4:])}
	end := runHead + r.count*seenSize
	if r.count == 0 || len(value) != end+filterSize(r.count) {
		return r, nil, false
	}
	r.filter = value[end:]
	return r, value[runHead:end], true
}

// at returns when an identity was accepted last, or 0.
func (s *seen) at(id identity) uint64 {
	if at, ok := s.recent[id]; ok {
		return at
	}
	for i := len(s.runs) - 1; i >= 0; i-- {
		if s.runs[i].filter.has(id) {
			if at := s.inRun(s.runs[i].number, id); at != 0 {
				return at
			}
		}
	}
	return 0
}

// inRun returns when an identity was accepted, as far as a run knows, or 0.
func (s *seen) inRun(n uint64, id identity) uint64 {
	r, entries, _ := s.stored(n)
	entry := func(i int) []byte { return entries[i*seenSize:][:seenSize] }
	i := sort.Search(r.count, func(i int) bool { return bytes.Compare(entry(i), id[:]) >= 0 })
	if i == r.count || !bytes.HasPrefix(entry(i), id[:]) {
		return 0
	}
	return binary.BigEndian.Uint64(entry(i)[identitySize:])
}

// count returns how many identities there are.
func (s *seen) count() int {
	n := len(s.recent)
	for _, r := range s.runs {
		n += r.count
	}
	return n
}

// room returns how many bytes the next run has, at most.
func (s *seen) room() int64 {
	n := min(s.count(), max(maxRun, len(s.recent)))
	return int64(runHead + n*seenSize + filterSize(n))
}

// store stores what is in memory as a run.
func (s *seen) store() error {
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
		_, older, ok := s.stored(last.number)
		if !ok {
			break
		}
		entries = merge(older, entries)
		if err := s.bucket.DeleteBucket(number(last.number)); err != nil {
			return err
		}
		s.runs = s.runs[:len(s.runs)-1]
	}
	r, value := newRun(entries)
	var err error
	if r.number, err = s.bucket.NextSequence(); err != nil {
		return err
	}
	b, err := s.bucket.CreateBucket(number(r.number))
	if err != nil {
		return err
	}
	if err := b.Put(keyRun, value); err != nil {
		return err
	}
	s.runs = append(s.runs, r)
	clear(s.recent)
	return nil
}

func compareIdentities(a, b identity) int { return bytes.Compare(a[:], b[:]) }

// newRun makes a run of sorted identities, which value is to be stored.
func newRun(entries []byte) (r run, value []byte) {
	r.count = len(entries) / seenSize
	r.filter = newFilter(r.count)
	for entry := range slices.Chunk(entries, seenSize) {
		r.filter.add(identity(entry))
		r.newest = max(r.newest, binary.BigEndian.Uint64(entry[identitySize:]))
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
		switch order := bytes.Compare(older[:identitySize], newer[:identitySize]); {
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
