package event

import "cmp"

// Conversation returns a key that is the same for all events of one
// conversation, for use where these must stay in order. It is the account and,
// out of what the event names, the first of these:
//
//   - of a change, the thread: the comment that it replies to, else the comment
//     itself;
//   - the other party: the sender, or for an echo or without a sender the
//     recipient;
//   - of a change, the media or the post;
//   - the message.
//
// The key is written as in ID:
//
//	{account}/{thread, other party, media or message}
//
// It is empty for an event that names none of these, and for one of the Test
// button, whose ids are made up: such an event belongs to no conversation.
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

// partner returns what or whom the account has the conversation with.
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
	itself := other == e.Account && e.Sender != e.Recipient // and nobody else
	switch {
	case other != "" && !itself:
		return other
	case e.Kind == Change:
		return cmp.Or(d.media(), d.postID, d.mid)
	default:
		return d.mid
	}
}

// thread returns the comment that a thread began with, as far as a change of a
// field names it. The parent of a comment on a Page's post is the post: that is
// no thread, but where thousands meet.
func (d *details) thread(field string) string {
	if d.parentID != "" && d.parentID != d.postID {
		return d.parentID
	}
	if field == "comments" || field == "live_comments" {
		return cmp.Or(d.id, d.commentID)
	}
	return d.commentID
}
