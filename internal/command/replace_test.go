package command

import (
	"os"
	"path/filepath"
	"testing"
)

// inDirectory returns the names of what is in a directory.
func inDirectory(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestReplacingIsAllOrNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "token")
	if err := os.WriteFile(name, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}

	given := func() *replacement {
		t.Helper()
		r, err := replaceFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := given()
	if got := read(); got != "old" {
		t.Errorf("before it is committed: %q", got)
	}
	r.discard()
	if got := inDirectory(t, dir); len(got) != 1 || read() != "old" {
		t.Errorf("discarded: %v, %q", got, read())
	}

	r = given()
	r.Close() // as a full disk would
	if err := r.commit([]byte("new")); err == nil {
		t.Error("no error")
	}
	r.discard()
	if got := inDirectory(t, dir); len(got) != 1 || read() != "old" {
		t.Errorf("failed: %v, %q", got, read())
	}

	r = given()
	if err := r.commit([]byte("new")); err != nil {
		t.Fatal(err)
	}
	r.discard()
	if got := inDirectory(t, dir); len(got) != 1 || read() != "new" {
		t.Errorf("committed: %v, %q", got, read())
	}

	if _, err := replaceFile(dir); err == nil {
		t.Error("a directory is replaced")
	}
}
