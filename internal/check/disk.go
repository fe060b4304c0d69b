package check

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/caddy-instagram/webhooks/internal/freespace"
)

const (
	// Less free space than this is a fault, or a warning.
	leastFree  = 100 << 20
	littleFree = 1 << 30

	// A sync that takes longer than this is a fault, or a warning. Each answer
	// to Meta waits for one, or for two.
	tooSlowSync = time.Second
	slowSync    = 100 * time.Millisecond

	// syncs is how many syncs are measured.
	syncs = 5
)

// disks checks the directories that events are written to.
func (r *run) disks() {
	if len(r.setup.dirs) == 0 {
		r.skip("nothing is written to this disk", DiskSpace, DiskSync)
	}
	for _, d := range r.setup.dirs {
		existing, err := existingParent(d.name)
		if err != nil {
			r.add(Finding{DiskSpace, d.name, Fault, fmt.Sprintf("The directory cannot be used: %s.", reasonOf(err)), "Make it, and let the user that Caddy runs as write to it."})
			r.add(Finding{DiskSync, d.name, Skipped, "the directory cannot be used", ""})
			continue
		}
		r.space(d, existing)
		r.syncing(d, existing)
	}
}

// existingParent returns a directory, or the nearest one above it that exists: Caddy
// makes what is missing.
func existingParent(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && info.IsDir():
			return dir, nil
		case err == nil:
			return "", fmt.Errorf("%s is no directory", dir)
		case !errors.Is(err, os.ErrNotExist) || filepath.Dir(dir) == dir:
			return "", err
		}
		dir = filepath.Dir(dir)
	}
}

// space checks how much room there is.
func (r *run) space(d directory, existing string) {
	freeSpace := r.free
	if freeSpace == nil {
		freeSpace = freespace.Of
	}
	free, err := freeSpace(existing)
	f := Finding{Check: DiskSpace, Subject: d.name, Advice: "Make room: when the disk is full, deliveries are refused."}
	f.Text = fmt.Sprintf("%s are free.", humanize.IBytes(uint64(max(free, 0))))
	switch {
	case err != nil:
		f.Status, f.Text, f.Advice = Skipped, fmt.Sprintf("the free space cannot be found out: %s", reasonOf(err)), ""
	case free < d.atLeast:
		f.Status = Fault
		f.Text = fmt.Sprintf("%s are free, and min_free_space is %s: deliveries are refused.", humanize.IBytes(uint64(max(free, 0))), humanize.IBytes(uint64(d.atLeast)))
	case free < leastFree:
		f.Status = Fault
	case free < littleFree:
		f.Status = Warning
	default:
		f.Status, f.Advice = OK, ""
	}
	r.add(f)
}

// syncing measures how long it takes until something is on disk.
func (r *run) syncing(d directory, existing string) {
	ctx, cancel := r.step()
	defer cancel()
	type result struct {
		usual time.Duration
		err   error
	}
	done := make(chan result, 1)
	go func() { // a sync cannot be interrupted
		usual, err := r.measure(existing)
		done <- result{usual, err}
	}()
	f := Finding{Check: DiskSync, Subject: d.name, Advice: "Use a local disk that is not busy; network file systems are too slow, or do not keep what they promise."}
	select {
	case <-ctx.Done():
		f.Status, f.Text = Fault, fmt.Sprintf("Writing and syncing a file takes longer than %s.", r.timeout())
	case m := <-done:
		f.Text = fmt.Sprintf("Syncing a file takes %s.", rounded(m.usual))
		switch {
		case errors.Is(m.err, os.ErrPermission):
			f.Status, f.Text = Warning, fmt.Sprintf("This user may not write to %s.", existing)
			f.Advice = "Run this command as the user that Caddy runs as; if that was so, let that user write there."
		case m.err != nil:
			f.Status, f.Text, f.Advice = Fault, fmt.Sprintf("Nothing can be written: %s.", m.err), "Deliveries are refused until this is mended."
		case m.usual >= tooSlowSync:
			f.Status = Fault
		case m.usual >= slowSync:
			f.Status = Warning
		default:
			f.Status, f.Advice = OK, ""
		}
	}
	r.add(f)
}

// measure writes to a file of its own and removes it. It returns how long a sync
// takes: the median, as any disk is slow now and then.
func (r *run) measure(dir string) (usual time.Duration, err error) {
	sync := r.sync
	if sync == nil {
		sync = (*os.File).Sync
	}
	f, err := os.CreateTemp(dir, ".instagram-check-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	var took []time.Duration
	for range syncs {
		if _, err := f.Write(bytes.Repeat([]byte("x"), 4096)); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := sync(f); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
