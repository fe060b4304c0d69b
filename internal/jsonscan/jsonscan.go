// Package jsonscan reads JSON without decoding it, and knows at which position of
// the text each value begins and ends.
package jsonscan

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth limits the nesting of arrays and objects in a value that is skipped, and
// with it the memory that a scan takes. A text that nests deeper is treated as if it
// were not JSON.
const maxDepth = 1000

// Scanner reads one JSON text from front to back and checks its grammar (RFC 8259) on
// the way. Every method that reads a value starts at it and stops after it. An error
// moves the scanner to the end of the text, which ends every loop over it.
type Scanner struct {
	Text   string
	Pos    int  // in Text, of the next byte to read
	Failed bool // Text is not JSON

	depth int // of the value that Skip has reached
}

// Fail stops the scanner as a text that is not JSON does.
func (s *Scanner) Fail() {
	s.Failed = true
	s.Pos = len(s.Text)
}

// Peek returns the byte at the scanner's position, or 0 at the end.
func (s *Scanner) Peek() byte {
	if s.Pos < len(s.Text) {
		return s.Text[s.Pos]
	}
	return 0
}

// Space skips white space and returns the byte after it, or 0 at the end.
func (s *Scanner) Space() byte {
	for s.Pos < len(s.Text) {
		c := s.Text[s.Pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		s.Pos++
	}
	return 0
}

// Members iterates over the members of an object: their positions and names. The
// loop's body may read the value; if it does not, the value is skipped. The body must
// not break out of the loop. A value that is not an object is skipped.
func (s *Scanner) Members(yield func(at int, name string) bool) {
	for more := s.open('{'); more; more = s.more('}') {
		at := s.Pos
		name := s.name()
		value := s.Pos
		if s.Failed || !yield(at, name) {
			return
		}
		if s.Pos == value {
			s.Skip()
		}
	}
}

// Elements iterates over the positions of an array's elements, as Members does over
// the members of an object.
func (s *Scanner) Elements(yield func(at int) bool) {
	for more := s.open('['); more; more = s.more(']') {
		at := s.Pos
		if !yield(at) {
			return
		}
		if s.Pos == at {
			s.Skip()
		}
	}
}

// open enters an object or array, which begins with bracket, and reports whether
// anything is in it. Any other value is skipped.
func (s *Scanner) open(bracket byte) bool {
	if s.Peek() != bracket {
		s.Skip()
		return false
	}
	s.Pos++
	if s.Space() == bracket+2 { // '}' or ']'
		s.Pos++
		return false
	}
	return true
}

// more reads the comma or the closing bracket after a member or an element, and
// reports whether another one follows.
func (s *Scanner) more(bracket byte) bool {
	switch s.Space() {
	case ',':
		s.Pos++
		s.Space()
		return true
	case bracket:
		s.Pos++
	default:
		s.Fail()
	}
	return false
}

// Raw skips a value and returns its text, as it is.
func (s *Scanner) Raw() string {
	at := s.Pos
	s.Skip()
	return s.Text[at:s.Pos]
}

// Scalar returns the content of a string or the digits of a number, so that an id
// reads the same in either form. It skips any other value and returns "".
func (s *Scanner) Scalar() string {
	switch c := s.Peek(); {
	case c == '"':
		return s.quoted()
	case c == '-' || '0' <= c && c <= '9':
		return s.Raw()
	default:
		s.Skip()
		return ""
	}
}

// IsTrue reports whether the value is the literal true.
func (s *Scanner) IsTrue() bool { return s.Raw() == "true" }

// Skip reads a value and only checks its grammar.
func (s *Scanner) Skip() {
	switch c := s.Peek(); {
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
		s.Fail()
	}
}

// skipContainer skips an object or array and what is in it.
func (s *Scanner) skipContainer(bracket byte) {
	if s.depth == maxDepth {
		s.Fail()
		return
	}
	s.depth++
	for more := s.open(bracket); more; more = s.more(bracket + 2) {
		if bracket == '{' {
			s.name()
		}
		s.Skip()
	}
	s.depth--
}

func (s *Scanner) literal(word string) {
	if end := s.Pos + len(word); end <= len(s.Text) && s.Text[s.Pos:end] == word {
		s.Pos = end
		return
	}
	s.Fail()
}

func (s *Scanner) number() {
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
func (s *Scanner) accept(set string) bool {
	ok := strings.IndexByte(set, s.Peek()) >= 0
	if ok {
		s.Pos++
	}
	return ok
}

// digits reads one digit or more.
func (s *Scanner) digits() {
	at := s.Pos
	for '0' <= s.Peek() && s.Peek() <= '9' {
		s.Pos++
	}
	if s.Pos == at {
		s.Fail()
	}
}

// name reads the name of a member, the colon and the space up to its value.
func (s *Scanner) name() string {
	if s.Peek() != '"' {
		s.Fail()
		return ""
	}
	name := s.quoted()
	if s.Space() != ':' {
		s.Fail()
		return ""
	}
	s.Pos++
	s.Space()
	return name
}

// quoted reads a string and returns its content.
func (s *Scanner) quoted() string {
	text, escaped := s.str()
	if !escaped {
		return text
	}
	var plain string
	if json.Unmarshal([]byte(`"`+text+`"`), &plain) != nil {
		s.Fail() // cannot happen: str has checked the escapes
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
func (s *Scanner) str() (text string, escaped bool) {
	t, i := s.Text, s.Pos+1
	for {
		for i < len(t) && plain[t[i]] {
			i++
		}
		switch {
		case i < len(t) && t[i] == '"':
			text, s.Pos = t[s.Pos+1:i], i+1
			return text, escaped
		case i+1 < len(t) && t[i] == '\\':
			n := escape(t[i+1:])
			if n == 0 {
				s.Fail()
				return "", false
			}
			escaped = true
			i += 1 + n
		default:
			s.Fail()
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

// Valid reports whether text is one JSON text.
func Valid(text string) bool {
	s := Scanner{Text: text}
	s.Space()
	s.Skip()
	s.Space()
	return !s.Failed && s.Pos == len(text)
}

// AppendCompact appends text, which is valid JSON or a part of it, to dst, without the
// white space between its tokens, and returns the longer slice.
func AppendCompact(dst []byte, text string) []byte {
	for i := 0; i < len(text); {
		switch text[i] {
		case ' ', '\n', '\r', '\t':
			i++
		case '"':
			s := Scanner{Text: text, Pos: i}
			s.str()
			dst = append(dst, text[i:s.Pos]...)
			i = s.Pos
		default:
			dst = append(dst, text[i])
			i++
		}
	}
	return dst
}

// HasScalar reports whether a string or a number in text is exactly value, the names of
// members among them. Text that is not JSON has it if it stands there as a word.
func HasScalar(text, value string) bool {
	if !strings.Contains(text, value) && !strings.Contains(text, `\`) {
		return false
	}
	if !Valid(text) {
		return hasWord(text, value)
	}
	for s := (Scanner{Text: text}); s.Pos < len(text); {
		switch c := s.Peek(); {
		case c == '"' || c == '-' || '0' <= c && c <= '9':
			if s.Scalar() == value {
				return true
			}
		default:
			s.Pos++
		}
	}
	return false
}

// hasWord reports whether word stands in text, between characters that are not of a word.
func hasWord(text, word string) bool {
	inWord := func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	for at := 0; word != ""; {
		n := strings.Index(text[at:], word)
		if n < 0 {
			return false
		}
		before, _ := utf8.DecodeLastRuneInString(text[:at+n])
		after, _ := utf8.DecodeRuneInString(text[at+n+len(word):])
		if !inWord(before) && !inWord(after) {
			return true
		}
		at += n + 1
	}
	return false
}
