package simulate

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// ErrIncomplete is the error of a compressed file that is cut off or damaged.
// What could be read of it comes before.
var ErrIncomplete = errors.New("the compressed file is cut off or damaged")

// maxWindow bounds the memory that a file of zstd may ask for, as the program
// zstd does unless it is told otherwise.
const maxWindow = 128 << 20

// The bytes that compressed files begin with.
var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

	// skippable frames of zstd begin so, after a byte from 0x50 to 0x5f.
	zstdSkippable = []byte{0x2a, 0x4d, 0x18}
)

// decompressor reads what a file holds: decompressed if it begins as files of
// gzip or zstd do, whatever its name, else as it is.
type decompressor struct {
	from failing
	io.Reader
	end func()
}

// failing remembers what was wrong with a file, other than its contents.
type failing struct {
	io.Reader
	err error
}

func (f *failing) Read(p []byte) (n int, err error) {
	n, err = f.Reader.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// decompress returns a decompressor that is to be closed.
func decompress(r io.Reader) *decompressor {
	d := &decompressor{from: failing{Reader: r}, end: func() {}}
	in := bufio.NewReader(&d.from)
	d.Reader = in
	head, _ := in.Peek(4) // Read tells the error
	var err error
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		d.Reader, err = gzip.NewReader(in) // one stream after the other
	case bytes.Equal(head, zstdMagic), len(head) == 4 && head[0]>>4 == 5 && bytes.Equal(head[1:], zstdSkippable):
		var frames *zstd.Decoder
		if frames, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow)); err == nil {
			d.Reader, d.end = frames, frames.Close
		}
	}
	if err != nil {
		d.Reader = broken{err}
	}
	return d
}

// broken is a reader of which nothing can be read.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// Read implements io.Reader. An error of what is compressed wraps ErrIncomplete.
func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	switch {
	case err == nil, err == io.EOF:
		return n, err
	case d.from.err != nil:
		return n, d.from.err
	default:
		return n, fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
}

// close ends the decompressor, but not what it reads from.
func (d *decompressor) close() { d.end() }
