package event

import "cmp"

// Conversation returns a key that all events of one conversation share, for use
// where these must stay in order. It is made of the account and the first of these
// that the event names:
//
//   - for a change, the thread: the comment that it replies to, or else the comment
//     itself;
//   - the other party: the sender, or the recipient for an echo or if there is no
//     sender;
//   - for a change, the media or the post;
//   - the message.
//
// The key is encoded like an ID:
//
//	{account}/{thread, other party, media or message}
//
// It is empty for an event that names none of these, and for an event of the Test
// button, whose ids are made up: such events belong to no conversation.
func (e *Event) Conversation() string {
	if e.Test {
		return ""
	}
	with := e.partner()
	if with == "" {
		return ""
	}
	dst := appendPart(make([]byte, 0, 64), e.Account)
	return string(appendPart(append(dst, '/'), with))
}

// partner returns the thread, person, media or message that the conversation of the
// account is with or about.
func (e *Event) partner() string {
	d := e.about()
	if e.Kind == Change {
		if thread := d.thread(e.Field); thread != "" {
			return thread
		}
	}
	other := e.Sender
	if e.Echo || other == "" {
		other = e.Recipient
	}
	itself := other == e.Account && e.Sender != e.Recipient // no other party is named
	switch {
	case other != "" && !itself:
		return other
	case e.Kind == Change:
		return cmp.Or(d.media(), d.postID, d.mid)
	default:
		return d.mid
	}
}

// thread returns the comment that began a thread, as far as a change names it. The
// parent of a comment on a Page's post is the post itself, which is no thread:
// thousands of people comment there.
func (d *details) thread(field string) string {
	if d.parentID != "" && d.parentID != d.postID {
		return d.parentID
	}
	if field == "comments" || field == "live_comments" {
		return cmp.Or(d.id, d.commentID)
	}
	return d.commentID
}
