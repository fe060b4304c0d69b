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
	file    fileReader
	content io.Reader
	err     error // of the first bytes of the content
	close   func()
}

// fileReader remembers what was wrong with a file, other than its contents.
type fileReader struct {
	io.Reader
	err error
}

func (f *fileReader) Read(p []byte) (n int, err error) {
	n, err = f.Reader.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// decompress returns a decompressor that is to be closed.
func decompress(r io.Reader) *decompressor {
	d := &decompressor{file: fileReader{Reader: r}, close: func() {}}
	in := bufio.NewReader(&d.file)
	d.content = in
	head, _ := in.Peek(4) // Read tells the error
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		d.content, d.err = gzip.NewReader(in) // one stream after the other
	case bytes.Equal(head, zstdMagic), len(head) == 4 && head[0]>>4 == 5 && bytes.Equal(head[1:], zstdSkippable):
		var frames *zstd.Decoder
		frames, d.err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if d.err == nil {
			d.content, d.close = frames, frames.Close
		}
	}
	return d
}

// Read implements io.Reader. An error of what is compressed wraps ErrIncomplete.
func (d *decompressor) Read(p []byte) (n int, err error) {
	if err = d.err; err == nil {
		n, err = d.content.Read(p)
	}
	switch {
	case err == nil, err == io.EOF:
		return n, err
	case d.file.err != nil:
		return n, d.file.err
	default:
		return n, fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
}
