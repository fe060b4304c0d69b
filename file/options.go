package file

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strconv"

	"go.uber.org/zap"
)

// The values of layout.
const (
	layoutLines = "lines"
	layoutFiles = "files"
)

// defaultMode is the mode of new files.
const defaultMode fs.FileMode = 0o640

// Mode is the permission bits of a file, in JSON an octal string such as
// `"0640"`.
type Mode fs.FileMode

// ParseMode parses octal digits.
func ParseMode(digits string) (Mode, error) {
	bits, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || fs.FileMode(bits)&^fs.ModePerm != 0 {
		return 0, fmt.Errorf("mode %q is not one to four octal digits such as 0640", digits)
	}
	if bits&0o600 != 0o600 {
		return 0, fmt.Errorf("mode %q does not let Caddy itself read and write", digits)
	}
	return Mode(bits), nil
}

// MarshalJSON writes the mode as an octal string.
func (m Mode) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `"%04o"`, uint32(m)), nil
}

// UnmarshalJSON reads an octal string.
func (m *Mode) UnmarshalJSON(text []byte) (err error) {
	var digits string
	if err = json.Unmarshal(text, &digits); err == nil {
		*m, err = ParseMode(digits)
	}
	return err
}

// options are what a sink needs to know of the handler that uses it.
type options struct {
	*Handler
	logger *zap.Logger
}

func (o *options) mode() fs.FileMode { return fs.FileMode(o.Mode) }

func (o *options) newSink(path string, d disk) sink {
	if o.Layout == layoutFiles {
		return newDirectory(path, d)
	}
	return newLines(path, d)
}
