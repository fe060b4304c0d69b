//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of times in /proc: USER_HZ, which is 100 on all processors
// that Go knows.
const tick = 10 * time.Millisecond

// usage is what a group of processes uses.
type usage struct {
	cpu               time.Duration // user and system, since their start
	resident          int64         // bytes
	anonymous, mapped int64         // resident bytes: memory of its own, and of files
}

// The fields of a stat file, see statFields.
const (
	parentField = 1
	groupField  = 2
)

// usageOf adds up what the processes of a process group use.
func usageOf(group int) (usage, error) {
	return usageWhere(func(_ string, fields []string) bool { return fields[groupField] == strconv.Itoa(group) })
}

// usageOfFamily adds up what a process and its children use.
func usageOfFamily(parent int) (usage, error) {
	id := strconv.Itoa(parent)
	return usageWhere(func(process string, fields []string) bool { return process == id || fields[parentField] == id })
}

// usageWhere adds up what processes use.
func usageWhere(counts func(process string, fields []string) bool) (u usage, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return u, err
	}
	found := false
	for _, stat := range stats {
		fields, err := statFields(stat)
		if err != nil || !counts(filepath.Base(filepath.Dir(stat)), fields) { // it may have ended
			continue
		}
		found = true
		for _, ticks := range fields[11:15] { // of the process, and of those that it has waited for
			n, _ := strconv.ParseInt(ticks, 10, 64) // a number by its definition
			u.cpu += time.Duration(n) * tick
		}
		u.addMemory(filepath.Join(filepath.Dir(stat), "status"))
	}
	if !found {
		return u, errors.New("the server has ended")
	}
	return u, nil
}

// statFields returns the fields of a stat file behind the name of the program:
// the third and those after it.
func statFields(stat string) ([]string, error) {
	text, err := os.ReadFile(stat)
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return nil, fmt.Errorf("%s: %q", stat, text)
	}
	return fields, nil
}

func (u *usage) addMemory(status string) {
	text, err := os.ReadFile(status)
	if err != nil { // it has just ended
		return
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64) // a number by its definition
		switch n *= 1024; fields[0] {
		case "VmRSS:":
			u.resident += n
		case "RssAnon:":
			u.anonymous += n
		case "RssFile:":
			u.mapped += n
		}
	}
}

// own returns the CPU time of this process: the loader and the backend.
func own() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// machine returns the CPU time that all processes have used since the start of
// the machine.
func machine() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var busy time.Duration
	for i, field := range strings.Fields(line) {
		// Field 4 is idle time, 5 is waiting for disks, 9 and 10 are in 1 and 2.
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, _ := strconv.ParseInt(field, 10, 64) // a number by its definition
		busy += time.Duration(n) * tick
	}
	return busy
}

// loadAverage returns the machine's load averages.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// evict takes the files that match a pattern out of the cache of the system, as
// after a start of the machine.
func evict(pattern string) error {
	files, err := filepath.Glob(pattern)
	if err == nil && files == nil {
		err = fmt.Errorf("there is no %s", pattern)
	}
	for _, file := range files {
		err = errors.Join(err, evictFile(file))
	}
	return err
}

func evictFile(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
