package event

import "slices"

// NotOffered stands in place of a permission where a login does not offer the
// field.
const NotOffered = "not offered"

// Field describes a webhook field: what an app subscribes to, and what its
// events look like.
type Field struct {
	// Name is the name to subscribe with, and the Field of the events.
	Name string

	// Kind is the family of the events.
	Kind Kind

	// Keys are the names under which the content stands in a messaging item;
	// none for changes.
	Keys []string

	// Page is the name that a Facebook Page has for the field, which is what an
	// app subscribes to with Facebook Login; "" if a Page has no such field.
	Page string

	// InstagramLogin, FacebookLogin and UnifiedLogin are the permissions that the
	// app needs with each login, besides those that the login needs for every
	// field; NotOffered, or "" where Meta documents none.
	InstagramLogin, FacebookLogin, UnifiedLogin string

	// Common marks the fields that most apps subscribe to.
	Common bool

	// Refused marks the fields that Meta's documentation names but its API
	// refuses. One such name voids a whole subscription request.
	Refused bool

	// About says in a few words what the events tell.
	About string

	// Identity says in a few words what makes up the ID of an event, besides
	// object, account and field.
	Identity string
}

// Permissions of the Instagram API with Instagram Login (the first two), and
// with Facebook Login and Unified Login. See Meta's "Instagram Platform ›
// Webhooks".
const (
	businessComments = "instagram_business_manage_comments"
	businessMessages = "instagram_business_manage_messages"
	manageComments   = "instagram_manage_comments"
	manageMessages   = "instagram_manage_messages"
	manageInsights   = "instagram_manage_insights"
)

const hashIdentity = "hash of the item"

// fields is the one table of fields: first the common ones, then the rest,
// then those that are refused. In a messaging item with several known keys the
// one that stands first here decides.
var fields = []Field{
	{Name: "comments", Kind: Change, InstagramLogin: businessComments, FacebookLogin: manageComments, UnifiedLogin: manageComments, Common: true,
		About: "a comment on, or a reply below, a media of the account", Identity: "comment id"},
	{Name: "live_comments", Kind: Change, InstagramLogin: businessComments, FacebookLogin: manageComments, UnifiedLogin: manageComments, Common: true,
		About: "a comment on a live broadcast, while it lasts", Identity: "comment id"},
	{Name: "mentions", Kind: Change, InstagramLogin: businessComments, FacebookLogin: manageComments, UnifiedLogin: manageComments, Common: true,
		About: "the account was mentioned in a comment or caption; with Instagram Login included in comments", Identity: "media id, comment id; in a caption: " + hashIdentity},
	{Name: "messages", Page: "messages", Kind: Message, Keys: []string{"message"}, InstagramLogin: businessMessages, FacebookLogin: manageMessages, UnifiedLogin: manageMessages, Common: true,
		About: "a message was received, sent (echo) or unsent", Identity: "message id; and “deleted” if unsent"},
	{Name: "message_reactions", Page: "message_reactions", Kind: Message, Keys: []string{"reaction"}, InstagramLogin: businessMessages, FacebookLogin: manageMessages, UnifiedLogin: manageMessages, Common: true,
		About: "a reaction to a message, or its removal", Identity: "message id, sender, action, timestamp"},
	{Name: "messaging_seen", Page: "message_reads", Kind: Message, Keys: []string{"read"}, InstagramLogin: businessMessages, FacebookLogin: manageMessages, UnifiedLogin: manageMessages, Common: true,
		About: "a message was read", Identity: "message id, timestamp"},
	{Name: "story_insights", Kind: Change, InstagramLogin: NotOffered, FacebookLogin: manageInsights, UnifiedLogin: manageInsights, Common: true,
		About: "figures of a story in its first 24 hours; those below 5 come as -1", Identity: "media id, hash of the value"},

	{Name: "message_edit", Page: "message_edits", Kind: Message, Keys: []string{"message_edit"}, InstagramLogin: businessMessages, FacebookLogin: manageMessages, UnifiedLogin: NotOffered,
		About: "a message was edited", Identity: "message id, number of the edit, timestamp"},
	{Name: "messaging_postbacks", Page: "messaging_postbacks", Kind: Message, Keys: []string{"postback"}, InstagramLogin: businessMessages, FacebookLogin: manageMessages, UnifiedLogin: manageMessages,
		About: "a button or an ice breaker was chosen", Identity: "message id; without one: sender, timestamp, payload"},
	{Name: "messaging_referral", Page: "messaging_referrals", Kind: Message, Keys: []string{"referral"}, InstagramLogin: businessMessages, FacebookLogin: manageMessages, UnifiedLogin: manageMessages,
		About: "a conversation was entered through a link or an ad", Identity: "sender, timestamp, ref"},
	{Name: "messaging_optins", Page: "messaging_optins", Kind: Message, Keys: []string{"optin"}, InstagramLogin: businessMessages, FacebookLogin: manageMessages, UnifiedLogin: NotOffered,
		About: "a user agreed to be sent messages", Identity: "sender, timestamp"},
	{Name: "messaging_handover", Page: "messaging_handovers", Kind: Message, Keys: []string{"pass_thread_control", "take_thread_control", "request_thread_control", "app_roles"}, InstagramLogin: businessMessages, FacebookLogin: manageMessages, UnifiedLogin: NotOffered,
		About: "control of a conversation went, or is asked to go, to another app", Identity: "sender, timestamp, key"},
	{Name: "standby", Page: "standby", Kind: Standby, InstagramLogin: businessMessages, FacebookLogin: manageMessages, UnifiedLogin: NotOffered,
		About: "any of the above in a conversation that another app controls", Identity: "that of the field that the key stands for, after its name"},

	{Name: "agent_messages", Kind: Change, UnifiedLogin: NotOffered, About: "messages of an agent", Identity: hashIdentity},
	{Name: "comment_poll_response", Page: "comment_poll_response", Kind: Change, UnifiedLogin: NotOffered, About: "an answer to a poll in the comments", Identity: hashIdentity},
	{Name: "creator_marketplace_invited_creator_onboarding", Kind: Change, UnifiedLogin: NotOffered, About: "an invited creator joined the creator marketplace", Identity: hashIdentity},
	{Name: "creator_marketplace_projects", Kind: Change, UnifiedLogin: NotOffered, About: "a project in the creator marketplace changed", Identity: hashIdentity},
	{Name: "delta", Kind: Change, UnifiedLogin: NotOffered, About: "not documented", Identity: hashIdentity},
	{Name: "follow", Page: "follow", Kind: Change, UnifiedLogin: NotOffered, About: "a user followed the account", Identity: hashIdentity},
	{Name: "onboarding_welcome_message_series", Kind: Change, UnifiedLogin: NotOffered, About: "not documented", Identity: hashIdentity},
	{Name: "share_to_story", Kind: Change, UnifiedLogin: NotOffered, About: "a media of the account was shared to a story", Identity: hashIdentity},
	{Name: "story_poll_response", Page: "story_poll_response", Kind: Change, UnifiedLogin: NotOffered, About: "an answer to a poll in a story", Identity: hashIdentity},
	{Name: "story_reactions", Kind: Change, UnifiedLogin: NotOffered, About: "a reaction to a story", Identity: hashIdentity},

	{Name: "message_echoes", Page: "message_echoes", Kind: Message, Refused: true,
		About: "messages sent by the account; they come with messages", Identity: "that of messages"},
	{Name: "messaging_policy_enforcement", Page: "messaging_policy_enforcement", Kind: Message, Keys: []string{"policy_enforcement"}, Refused: true,
		About: "Meta warned or restricted the account", Identity: hashIdentity},
	{Name: "response_feedback", Page: "response_feedback", Kind: Message, Keys: []string{"response_feedback"}, Refused: true,
		About: "a user rated an answer", Identity: hashIdentity},
}

// messagingKey is what a key of a messaging item means.
type messagingKey struct {
	field string
	rank  int // the lower, the earlier in the table
}

var messagingKeys = func() map[string]messagingKey {
	keys := make(map[string]messagingKey)
	for _, f := range fields {
		for _, key := range f.Keys {
			keys[key] = messagingKey{f.Name, len(keys)}
		}
	}
	return keys
}()

// Fields returns the table of the fields that Meta's documentation names for
// Instagram: the common ones first, those that are refused last. See Meta's
// "Instagram Platform › Webhooks" and, for the names, the fields of
// "subscribed_apps" in "Instagram Platform › Reference › IG User".
func Fields() []Field {
	table := slices.Clone(fields)
	for i := range table {
		table[i].Keys = slices.Clone(table[i].Keys)
	}
	return table
}

// FieldByName returns the description of the field with that name.
func FieldByName(name string) (Field, bool) {
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	f := fields[i]
	f.Keys = slices.Clone(f.Keys)
	return f, true
}
