package file

import (
	"os"
	"path/filepath"
	"time"

	"github.com/caddy-instagram/webhooks/internal/piece"
)

// outdated returns the paths of the pieces of a file, see package piece, that are to be deleted
// when it is rolled the next time: with the rolled file that would have their lines.
func (r *Roll) outdated(path string, now time.Time) (paths []string, err error) {
	if r.Keep == 0 && r.KeepFor == 0 {
		return nil, nil
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	zone := time.UTC
	if r.LocalTime {
		zone = time.Local
	}
	rolled := make(map[time.Time]bool)
	for _, entry := range entries {
		if at, ok := rolledAt(entry.Name(), path, zone); ok {
			rolled[at] = true
		}
	}
	for _, entry := range entries {
		made, ok := piece.Time(entry.Name(), path)
		if !ok || !entry.Type().IsRegular() {
			continue
		}
		since := 0
		for at := range rolled {
			if !at.Before(made) {
				since++
			}
		}
		tooMany := r.Keep > 0 && since >= r.Keep
		tooOld := r.KeepFor > 0 && made.Before(now.AddDate(0, 0, -r.days()))
		if tooMany || tooOld {
			paths = append(paths, filepath.Join(filepath.Dir(path), entry.Name()))
		}
	}
	return paths, nil
}
