// Package mask hides what people wrote, their names and links to what is theirs in the
// body of an event. What is not known to be harmless is hidden.
package mask

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/caddy-instagram/webhooks/internal/jsonscan"
)

// dot stands for each character that is hidden.
const dot = "•"

// shown are the members whose strings say what an event is about, and are no one's words.
var shown = func() map[string]bool {
	names := make(map[string]bool)
	for _, name := range strings.Fields(`
		object field item verb type status event reason action reaction reaction_type topic level source
		media_type media_product_type messaging_product recipient_type product_type status_name promotion_status
		changed_fields changes time timestamp watermark
		id mid uid sender_id recipient_id user_id from_user_id recipient_user_id recipient_participant_id
		phone_number_id self_ig_scoped_id
		account_id page_id app_id ad_id post_id media_id comment_id parent_id object_id owner_id target_id form_id
		leadgen_id subscription_id original_media_id reel_video_id story_id root_post_id reply_to_mid
		new_owner_app_id previous_owner_app_id notification_messages_token`) {
		names[name] = true
	}
	return names
}()

// numbers are members whose strings are ids or telephone numbers, if they are digits.
var numbers = map[string]bool{"from": true, "to": true, "wa_id": true, "display_phone_number": true}

var (
	plainName  = regexp.MustCompile(`^[0-9A-Za-z_.-]{1,64}$`)
	plainValue = regexp.MustCompile(`^[0-9A-Za-z_.:=+/-]{0,512}$`) // has no spaces: no sentence
	digits     = regexp.MustCompile(`^[0-9]{0,32}$`)
)

func isShown(name, value string) bool {
	return shown[name] && plainValue.MatchString(value) || numbers[name] && digits.MatchString(value)
}

// maxDepth is how deep values are looked into. Nothing of Meta's nests as deep.
const maxDepth = 64

// Body returns a body with a dot in place of each character that may be private. All else
// stays as it is, byte for byte: numbers, and so ids, have all of their digits. Of what is
// not JSON, only white space stays.
func Body(body string) string {
	m := masker{Scanner: jsonscan.Scanner{Text: body}}
	m.Space()
	m.value("", 0)
	m.Space()
	if m.Failed || m.Pos != len(body) {
		m = masker{Scanner: jsonscan.Scanner{Text: body}}
		m.hide(0, len(body))
	}
	m.out.WriteString(body[m.copied:])
	return m.out.String()
}

// masker reads JSON and writes it down.
type masker struct {
	jsonscan.Scanner
	out    strings.Builder
	copied int // up to where the text is in out
}

// value masks the value at the scanner's position, of a member with this name.
func (m *masker) value(name string, depth int) {
	at := m.Pos
	switch c := m.Peek(); {
	case c == '"':
		text := m.Raw()
		if !m.Failed && !isShown(name, text[1:len(text)-1]) {
			m.hide(at+1, m.Pos-1)
		}
	case depth == maxDepth:
		m.Skip()
		m.hide(at, m.Pos)
	case c == '{':
		m.Members(func(at int, name string) bool {
			if !plainName.MatchString(name) {
				inner := jsonscan.Scanner{Text: m.Text, Pos: at}
				inner.Skip()
				m.hide(at+1, inner.Pos-1)
			}
			m.value(name, depth+1)
			return true
		})
	case c == '[':
		m.Elements(func(int) bool { m.value(name, depth+1); return true })
	default:
		m.Skip()
	}
}

// hide writes a part of the text down as dots, and what is before it as it is.
func (m *masker) hide(from, to int) {
	if m.Failed || from < m.copied {
		return
	}
	m.out.WriteString(m.Text[m.copied:from])
	for part := m.Text[from:to]; part != ""; {
		r, size := utf8.DecodeRuneInString(part)
		switch r {
		case '\n', '\r', '\t': // not within a string
			m.out.WriteRune(r)
		default:
			m.out.WriteString(dot)
		}
		part = part[size:]
	}
	m.copied = to
}
