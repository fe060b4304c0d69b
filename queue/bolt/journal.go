package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/caddy-instagram/webhooks/internal/syncdir"
)

// journal is the file that makes commits durable. A commit appends what it
// changes, a frame, with one sync. The queue's own file gets many commits at a
// time, at a checkpoint, and from then on their frames do not count.
//
// A frame begins at a multiple of frameUnit, so that no block of an earlier one
// is ever written again. It has a checksum, which begins with a random number
// that only the queue's file knows: nothing in an event can pass for a frame.
type journal struct {
	file       *os.File
	seed       uint32 // of checksums
	generation uint64 // transaction of the queue's file that the frames belong to
	last, end  int64  // of the last frame; the next one goes to its end
	doubt      bool   // a frame that could not be synced may follow
}

const (
	frameUnit = 4096
	frameHead = 4 + 4 + 8 // checksum of what follows, length of the content, generation
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openJournal opens the journal at path, which is made if it is missing.
func openJournal(path string, salt []byte) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syncdir.Sync(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &journal{file: file, seed: crc32.Checksum(salt, castagnoli)}, nil
}

// begin begins to write the frames of a transaction. Those of others do not
// count any more.
func (j *journal) begin(generation uint64) { j.generation, j.end = generation, 0 }

// append makes a frame durable, which has room for the head at its beginning.
// After an error cut must succeed before the next one.
func (j *journal) append(frame []byte) error {
	binary.BigEndian.PutUint32(frame[4:], uint32(len(frame)-frameHead))
	binary.BigEndian.PutUint64(frame[8:], j.generation)
	binary.BigEndian.PutUint32(frame, j.sum(frame))
	j.doubt = true
	if _, err := j.file.WriteAt(frame, j.end); err != nil {
		return err
	}
	if err := syncData(j.file); err != nil {
		return err
	}
	j.doubt = false
	j.end += units(len(frame))
	return nil
}

// cut takes away a frame that could not be synced.
func (j *journal) cut() error {
	if !j.doubt {
		return nil
	}
	if err := j.file.Truncate(j.end); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.doubt = false
	return nil
}

var errJournal = error(damage{errors.New("the journal of the queue is damaged")})

// replay calls visit with the content of each frame since begin. It may keep
// that.
func (j *journal) replay(visit func(content []byte) error) error {
	size, err := j.size()
	if err != nil {
		return err
	}
	j.last = 0
	for {
		frame, generation, err := j.read(j.end, size)
		if err != nil {
			return err
		}
		if frame == nil {
			break
		}
		if generation > j.generation {
			return fmt.Errorf("%s belongs to a newer state of the queue: if you have restored that from a backup, remove this file", j.file.Name())
		}
		if err := visit(frame[frameHead:]); err != nil {
			return err
		}
		j.last = j.end
		j.end += units(len(frame))
	}
	// Only the last frame can be incomplete: by a write that was broken off.
	for at := j.end + frameUnit; at < size; at += frameUnit {
		if frame, generation, err := j.read(at, size); frame != nil && generation == j.generation || err != nil {
			return errors.Join(errJournal, err)
		}
	}
	return nil
}

// secure makes what was replayed durable, and takes away the rest. The process
// before may have ended, or failed, in the sync of the last frame, which then is
// perhaps in the cache of the system only, and known as written there.
func (j *journal) secure() error {
	last := make([]byte, j.end-j.last)
	n, err := j.file.ReadAt(last, j.last)
	if err != nil && err != io.EOF { // the end of the last unit need not be there
		return err
	}
	if _, err := j.file.WriteAt(last[:n], j.last); err != nil {
		return err
	}
	j.doubt = true
	return j.cut()
}

// shrink gives the space of an unusually large journal back, in which nothing
// counts any more. If that fails, the space is used again at least.
func (j *journal) shrink() {
	if size, err := j.size(); err == nil && size > 2*maxJournal {
		_ = j.file.Truncate(0)
	}
}

func (j *journal) size() (int64, error) {
	info, err := j.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// read reads the frame that begins at at in a file of this size, and its
// generation. It returns nil if there is none.
func (j *journal) read(at, size int64) (frame []byte, generation uint64, err error) {
	var head [frameHead]byte
	if size-at < frameHead {
		return nil, 0, nil
	}
	if _, err := j.file.ReadAt(head[:], at); err != nil {
		return nil, 0, err
	}
	length := frameHead + int64(binary.BigEndian.Uint32(head[4:]))
	generation = binary.BigEndian.Uint64(head[8:])
	if generation < j.generation || size-at < length {
		return nil, 0, nil
	}
	frame = make([]byte, length)
	if _, err := j.file.ReadAt(frame, at); err != nil {
		return nil, 0, err
	}
	if binary.BigEndian.Uint32(frame) != j.sum(frame) {
		return nil, 0, nil
	}
	return frame, generation, nil
}

// sum returns the checksum of a frame.
func (j *journal) sum(frame []byte) uint32 { return crc32.Update(j.seed, castagnoli, frame[4:]) }

// units returns the room that so many bytes take up.
func units(n int) int64 { return (int64(n) + frameUnit - 1) / frameUnit * frameUnit }
