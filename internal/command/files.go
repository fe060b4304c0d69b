package command

import (
	"fmt"
	"io"
	"os"
)

// readAll reads all of r. It returns an error if that is more than maxSize bytes.
func readAll(r io.Reader, maxSize int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err == nil && int64(len(data)) > maxSize {
		return nil, fmt.Errorf("it is longer than %d MiB", maxSize>>20)
	}
	return data, err
}

// readFile is readAll for a file.
func readFile(name string, maxSize int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, maxSize)
}
