package freespace

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	free, err := Of(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system does not tell")
	}
	if err != nil || free <= 0 {
		t.Errorf("%d bytes, %v", free, err)
	}
	if _, err := Of(filepath.Join(dir, "missing")); err == nil {
		t.Error("a directory that is not there has free space")
	}
}
