package file

import (
	"fmt"
	"io/fs"
	"strconv"
)

// defaultMode is the mode of new files.
const defaultMode fs.FileMode = 0o640

// Mode is the permission bits of a file, in text an octal number such as `0640`.
type Mode fs.FileMode

// MarshalText writes the octal number.
func (m Mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

// UnmarshalText reads the octal number.
func (m *Mode) UnmarshalText(digits []byte) error {
	bits, err := strconv.ParseUint(string(digits), 8, 32)
	if err != nil || fs.FileMode(bits)&^fs.ModePerm != 0 {
		return fmt.Errorf("mode %q is not one to four octal digits such as 0640", digits)
	}
	if bits&0o600 != 0o600 {
		return fmt.Errorf("mode %q does not let Caddy itself read and write", digits)
	}
	*m = Mode(bits)
	return nil
}
