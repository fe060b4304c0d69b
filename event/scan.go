package event

import "encoding/json"

// maxDepth is how many levels of arrays and objects a value may have below the
// levels that Meta's payload itself has. It bounds the memory of a scan; what
// lies deeper is treated like text that is not JSON.
const maxDepth = 1000

// scanner reads one JSON text from front to back, checking its grammar (RFC
// 8259) on the way. Every method starts at a value and ends behind it. After
// an error the scanner stands at the end of the text, so that every loop over
// it ends by itself.
type scanner struct {
	text string
	pos  int
	bad  bool
}

func (s *scanner) fail() {
	s.bad = true
	s.pos = len(s.text)
}

// peek returns the byte at the scanner's position, and 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// space skips white space and returns the byte behind it, and 0 at the end.
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

// members iterates over the members of an object: where a member begins, and
// its name. The loop's body may read the value; if it does not, the value is
// skipped. The body must not break out of the loop. A value that is no object
// has no members and is skipped.
func (s *scanner) members(yield func(at int, name string) bool) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	s.pos++
	if s.space() == '}' {
		s.pos++
		return
	}
	for {
		at := s.pos
		name := s.name()
		value := s.pos
		if s.bad || !yield(at, name) {
			return
		}
		if s.pos == value {
			s.skip()
		}
		switch s.space() {
		case ',':
			s.pos++
			s.space()
		case '}':
			s.pos++
			return
		default:
			s.fail()
			return
		}
	}
}

// elements iterates over an array as members does over an object.
func (s *scanner) elements(yield func(at int) bool) {
	if s.peek() != '[' {
		s.skip()
		return
	}
	s.pos++
	if s.space() == ']' {
		s.pos++
		return
	}
	for {
		at := s.pos
		if !yield(at) {
			return
		}
		if s.pos == at {
			s.skip()
		}
		switch s.space() {
		case ',':
			s.pos++
			s.space()
		case ']':
			s.pos++
			return
		default:
			s.fail()
			return
		}
	}
}

// skipped skips a value and returns where it ends.
func (s *scanner) skipped() int {
	s.skip()
	return s.pos
}

// raw skips a value and returns its text.
func (s *scanner) raw() string {
	at := s.pos
	s.skip()
	return s.text[at:s.pos]
}

// scalar returns what a string says, or the digits of a number as they stand,
// so that an identifier reads the same in either form. Everything else is
// skipped and gives "".
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

// isTrue reports whether the value is the literal true.
func (s *scanner) isTrue() bool { return s.raw() == "true" }

// skip reads a value. It does not recurse: one bit for each open level says
// whether it is an object.
func (s *scanner) skip() {
	if c := s.peek(); c != '{' && c != '[' {
		s.skipScalar()
		return
	}
	var objects [maxDepth/64 + 1]uint64
	depth := 0
	for {
		switch open := s.peek(); open {
		case '{', '[':
			if depth == maxDepth {
				s.fail()
				return
			}
			s.pos++
			word, bit := depth/64, uint64(1)<<(depth%64)
			objects[word] &^= bit
			if open == '{' {
				objects[word] |= bit
			}
			depth++
			if s.space() == open+2 { // '}' or ']': an empty one
				break
			}
			if open == '{' {
				s.name()
			}
			continue
		default:
			s.skipScalar()
		}
		// A value ends here, and with it perhaps what it stands in.
		for more := false; !more; {
			object := objects[(depth-1)/64]>>((depth-1)%64)&1 == 1
			switch c := s.space(); {
			case c == ',':
				s.pos++
				s.space()
				if object {
					s.name()
				}
				more = true
			case c == '}' && object, c == ']' && !object:
				s.pos++
				if depth--; depth == 0 {
					return
				}
			default:
				s.fail()
				return
			}
		}
	}
}

func (s *scanner) skipScalar() {
	switch c := s.peek(); {
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

func (s *scanner) literal(word string) {
	if end := s.pos + len(word); end <= len(s.text) && s.text[s.pos:end] == word {
		s.pos = end
		return
	}
	s.fail()
}

func (s *scanner) number() {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else {
		s.digits()
	}
	if s.peek() == '.' {
		s.pos++
		s.digits()
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		s.digits()
	}
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

// quoted reads a string and returns what it says.
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

// plain tells the bytes of a string that have no meaning of their own.
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

// escape returns the length of the escape that t begins with, without its
// backslash, and 0 when it is none.
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
	return !s.bad && s.pos == len(text)
}

// appendCompact appends text, a JSON text or a part of one, without the white
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
