package sqlite

import "errors"

// ErrDamaged is wrapped by errors that say what is wrong with a file.
var ErrDamaged = errors.New("the queue is damaged")

// ErrUnclean is wrapped by the error of Open for a file without its write-ahead log, as
// a copy of the file alone is: what was accepted last may be missing in it.
var ErrUnclean = errors.New("the queue was not closed, and its write-ahead log is missing")

// ErrLocked is wrapped by the error of Open for a file that another process has open.
var ErrLocked = errors.New("is another Caddy running?")

// errReserve is why nothing is accepted although nobody else has said so: what was set
// aside on the disk to settle events was needed.
var errReserve = errors.New("the disk was full, and has no room yet")

// damage is an error that wraps ErrDamaged, but has words of its own.
type damage struct{ error }

// Is reports whether the target is ErrDamaged.
func (damage) Is(target error) bool { return target == ErrDamaged }

// Unwrap returns the error with the words.
func (d damage) Unwrap() error { return d.error }
