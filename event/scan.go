package event

import (
	"encoding/json"
	"strings"
)

// maxDepth limits the nesting of arrays and objects in a value that is skipped, and
// with it the memory that a scan takes. A text that nests deeper is treated as if it
// were not JSON.
const maxDepth = 1000

// scanner reads one JSON text from front to back and checks its grammar (RFC 8259) on
// the way. Every method that reads a value starts at it and stops after it. An error
// moves the scanner to the end of the text, which ends every loop over it.
type scanner struct {
	text   string
	pos    int
	depth  int // of the value that skip has reached
	failed bool
}

func (s *scanner) fail() {
	s.failed = true
	s.pos = len(s.text)
}

// peek returns the byte at the scanner's position, or 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// space skips white space and returns the byte after it, or 0 at the end.
func (s *scanner) space() byte {
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		s.pos++
	}
	return 0
}

// members iterates over the members of an object: their positions and names. The
// loop's body may read the value; if it does not, the value is skipped. The body must
// not break out of the loop. A value that is not an object is skipped.
func (s *scanner) members(yield func(at int, name string) bool) {
	for more := s.open('{'); more; more = s.more('}') {
		at := s.pos
		name := s.name()
		value := s.pos
		if s.failed || !yield(at, name) {
			return
		}
		if s.pos == value {
			s.skip()
		}
	}
}

// elements iterates over the positions of an array's elements, as members does over
// the members of an object.
func (s *scanner) elements(yield func(at int) bool) {
	for more := s.open('['); more; more = s.more(']') {
		at := s.pos
		if !yield(at) {
			return
		}
		if s.pos == at {
			s.skip()
		}
	}
}

// open enters an object or array, which begins with bracket, and reports whether
// anything is in it. Any other value is skipped.
func (s *scanner) open(bracket byte) bool {
	if s.peek() != bracket {
		s.skip()
		return false
	}
	s.pos++
	if s.space() == bracket+2 { // '}' or ']'
		s.pos++
		return false
	}
	return true
}

// more reads the comma or the closing bracket after a member or an element, and
// reports whether another one follows.
func (s *scanner) more(bracket byte) bool {
	switch s.space() {
	case ',':
		s.pos++
		s.space()
		return true
	case bracket:
		s.pos++
	default:
		s.fail()
	}
	return false
}

// raw skips a value and returns its text.
func (s *scanner) raw() string {
	at := s.pos
	s.skip()
	return s.text[at:s.pos]
}

// scalar returns the content of a string or the digits of a number, so that an id
// reads the same in either form. It skips any other value and returns "".
func (s *scanner) scalar() string {
	switch c := s.peek(); {
	case c == '"':
		return s.quoted()
	case c == '-' || '0' <= c && c <= '9':
		return s.raw()
	default:
		s.skip()
		return ""
	}
}

// scalarMember is a member of an object to read, and where to store its scalar.
type scalarMember struct {
	name string
	to   *string
}

// scalars reads the scalars of some members of an object.
func (s *scanner) scalars(wanted []scalarMember) {
	for _, name := range s.members {
		for _, member := range wanted {
			if member.name == name {
				*member.to = s.scalar()
				break
			}
		}
	}
}

// isTrue reports whether the value is the literal true.
func (s *scanner) isTrue() bool { return s.raw() == "true" }

// skip reads a value and only checks its grammar.
func (s *scanner) skip() {
	switch c := s.peek(); {
	case c == '{' || c == '[':
		s.skipContainer(c)
	case c == '"':
		s.str()
	case c == '-' || '0' <= c && c <= '9':
		s.number()
	case c == 't':
		s.literal("true")
	case c == 'f':
		s.literal("false")
	case c == 'n':
		s.literal("null")
	default:
		s.fail()
	}
}

// skipContainer skips an object or array and what is in it.
func (s *scanner) skipContainer(bracket byte) {
	if s.depth == maxDepth {
		s.fail()
		return
	}
	s.depth++
	for more := s.open(bracket); more; more = s.more(bracket + 2) {
		if bracket == '{' {
			s.name()
		}
		s.skip()
	}
	s.depth--
}

func (s *scanner) literal(word string) {
	if end := s.pos + len(word); end <= len(s.text) && s.text[s.pos:end] == word {
		s.pos = end
		return
	}
	s.fail()
}

func (s *scanner) number() {
	s.accept("-")
	if !s.accept("0") {
		s.digits()
	}
	if s.accept(".") {
		s.digits()
	}
	if s.accept("eE") {
		s.accept("+-")
		s.digits()
	}
}

// accept reads a byte if it is one of those in set, and reports whether it did.
func (s *scanner) accept(set string) bool {
	ok := strings.IndexByte(set, s.peek()) >= 0
	if ok {
		s.pos++
	}
	return ok
}

// digits reads one digit or more.
func (s *scanner) digits() {
	at := s.pos
	for '0' <= s.peek() && s.peek() <= '9' {
		s.pos++
	}
	if s.pos == at {
		s.fail()
	}
}

// name reads the name of a member, the colon and the space up to its value.
func (s *scanner) name() string {
	if s.peek() != '"' {
		s.fail()
		return ""
	}
	name := s.quoted()
	if s.space() != ':' {
		s.fail()
		return ""
	}
	s.pos++
	s.space()
	return name
}

// quoted reads a string and returns its content.
func (s *scanner) quoted() string {
	text, escaped := s.str()
	if !escaped {
		return text
	}
	var plain string
	if json.Unmarshal([]byte(`"`+text+`"`), &plain) != nil {
		s.fail() // cannot happen: str has checked the escapes
	}
	return plain
}

// plain marks the bytes of a string that stand for themselves.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

// str reads a string and returns the text between the quotes, and whether it
// holds escapes.
func (s *scanner) str() (text string, escaped bool) {
	t, i := s.text, s.pos+1
	for {
		for i < len(t) && plain[t[i]] {
			i++
		}
		switch {
		case i < len(t) && t[i] == '"':
			text, s.pos = t[s.pos+1:i], i+1
			return text, escaped
		case i+1 < len(t) && t[i] == '\\':
			n := escape(t[i+1:])
			if n == 0 {
				s.fail()
				return "", false
			}
			escaped = true
			i += 1 + n
		default:
			s.fail()
			return "", false
		}
	}
}

// escape returns the length of the escape sequence at the beginning of t, without its
// backslash, or 0 if there is none.
func escape(t string) int {
	switch t[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(t) > 4 && isHex(t[1]) && isHex(t[2]) && isHex(t[3]) && isHex(t[4]) {
			return 5
		}
	}
	return 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// isJSON reports whether text is one JSON text.
func isJSON(text string) bool {
	s := scanner{text: text}
	s.space()
	s.skip()
	s.space()
	return !s.failed && s.pos == len(text)
}

// appendCompact appends text, which is valid JSON or a part of it, without the white
// space between its tokens.
func appendCompact(dst []byte, text string) []byte {
	for i := 0; i < len(text); {
		switch text[i] {
		case ' ', '\n', '\r', '\t':
			i++
		case '"':
			s := scanner{text: text, pos: i}
			s.str()
			dst = append(dst, text[i:s.pos]...)
			i = s.pos
		default:
			dst = append(dst, text[i])
			i++
		}
	}
	return dst
}
