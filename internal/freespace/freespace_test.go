package freespace

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	free, err := Of(dir)
	if errors.Is(err, errors.ErrUnsupported) && os.Getenv("CI") != "true" {
		t.Skip("skipped: this system does not tell how much space is free")
	}
	if err != nil || free <= 0 {
		t.Errorf("%d bytes, %v", free, err)
	}
	if _, err := Of(filepath.Join(dir, "missing")); err == nil {
		t.Error("a directory that is not there has free space")
	}
}
