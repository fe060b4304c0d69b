package bolt

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
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
	end        int64  // of the last frame, where the next one goes
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
	if uint64(len(frame)) > math.MaxUint32 {
		return errors.New("too much to be stored at a time")
	}
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

var errJournal = errors.New("the journal of the queue is damaged")

// replay calls visit with the content of each frame since begin. It may keep
// that.
func (j *journal) replay(visit func(content []byte) error) error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	for {
		frame, err := j.read(j.end, info.Size())
		if err != nil {
			return err
		}
		if frame == nil {
			break
		}
		if err := visit(frame[frameHead:]); err != nil {
			return err
		}
		j.end += units(len(frame))
	}
	// Only the last frame can be incomplete: by a write that was broken off.
	for at := j.end + frameUnit; at < info.Size(); at += frameUnit {
		if frame, err := j.read(at, info.Size()); frame != nil || err != nil {
			return errors.Join(errJournal, err)
		}
	}
	return nil
}

// read reads the frame that begins at at in a file of this size. It returns nil
// if there is none.
func (j *journal) read(at, size int64) ([]byte, error) {
	var head [frameHead]byte
	if size-at < frameHead {
		return nil, nil
	}
	if _, err := j.file.ReadAt(head[:], at); err != nil {
		return nil, err
	}
	length := frameHead + int64(binary.BigEndian.Uint32(head[4:]))
	if binary.BigEndian.Uint64(head[8:]) != j.generation || size-at < length {
		return nil, nil
	}
	frame := make([]byte, length)
	if _, err := j.file.ReadAt(frame, at); err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(frame) != j.sum(frame) {
		return nil, nil
	}
	return frame, nil
}

// sum returns the checksum of a frame.
func (j *journal) sum(frame []byte) uint32 { return crc32.Update(j.seed, castagnoli, frame[4:]) }

// units returns the room that so many bytes take up.
func units(n int) int64 { return (int64(n) + frameUnit - 1) / frameUnit * frameUnit }
