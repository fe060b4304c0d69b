package event

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-instagram/webhooks/internal/suggest"
)

// NotOffered stands in place of a permission where a login does not offer the
// field.
const NotOffered = "not offered"

// Field describes a webhook field: what an app subscribes to, and what its
// events look like.
type Field struct {
	// Name is the name to subscribe to, and the Field of the events.
	Name string

	// Kind is the kind of the events.
	Kind Kind

	// Keys are the names of the member of a messaging item that holds the
	// content. Changes have none.
	Keys []string

	// Page is the name that Facebook Pages have for the field, and which an app
	// subscribes to with Facebook Login. It is empty if Pages have no such field.
	Page string

	Permissions

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

// Permissions are the permissions that an app needs for a field with each login,
// besides those that the login needs for every field. One is NotOffered if the
// login does not offer the field, and empty if Meta documents none.
type Permissions struct {
	InstagramLogin, FacebookLogin, UnifiedLogin string
}

// The permissions that fields have in common. See Meta's "Instagram Platform ›
// Webhooks".
var (
	forComments = Permissions{
		"instagram_business_manage_comments", "instagram_manage_comments", "instagram_manage_comments",
	}
	forMessages = Permissions{
		"instagram_business_manage_messages", "instagram_manage_messages", "instagram_manage_messages",
	}
	forInsights = Permissions{NotOffered, "instagram_manage_insights", "instagram_manage_insights"}

	// Unified Login offers only some of the fields of messages.
	forMessagesNotUnified = Permissions{forMessages.InstagramLogin, forMessages.FacebookLogin, NotOffered}
)

const hashIdentity = "hash of the item"

// fields is the one table of fields: first the common ones, then the rest, then
// those that are refused. If a messaging item has several known keys, the field
// that comes first here wins.
var fields = []Field{
	{Name: "comments", Kind: Change, Permissions: forComments, Common: true,
		About:    "a comment on, or a reply below, a media of the account",
		Identity: "comment id"},
	{Name: "live_comments", Kind: Change, Permissions: forComments, Common: true,
		About:    "a comment on a live broadcast, while it lasts",
		Identity: "comment id"},
	{Name: "mentions", Kind: Change, Permissions: forComments, Common: true,
		About:    "the account was mentioned in a comment or caption; with Instagram Login included in comments",
		Identity: "media id, comment id; in a caption: " + hashIdentity},
	{Name: "messages", Page: "messages", Kind: Message, Keys: []string{"message"},
		Permissions: forMessages, Common: true,
		About:    "a message was received, sent (echo) or unsent",
		Identity: "message id; and “deleted” if unsent"},
	{Name: "message_reactions", Page: "message_reactions", Kind: Message, Keys: []string{"reaction"},
		Permissions: forMessages, Common: true,
		About:    "a reaction to a message, or its removal",
		Identity: "message id, sender, action, timestamp"},
	{Name: "messaging_seen", Page: "message_reads", Kind: Message, Keys: []string{"read"},
		Permissions: forMessages, Common: true,
		About:    "a message was read",
		Identity: "message id, timestamp"},
	{Name: "story_insights", Kind: Change, Permissions: forInsights, Common: true,
		About:    "figures of a story in its first 24 hours; those below 5 come as -1",
		Identity: "media id, hash of the value"},

	{Name: "message_edit", Page: "message_edits", Kind: Message, Keys: []string{"message_edit"},
		Permissions: forMessagesNotUnified,
		About:       "a message was edited",
		Identity:    "message id, number of the edit, timestamp"},
	{Name: "messaging_postbacks", Page: "messaging_postbacks", Kind: Message, Keys: []string{"postback"},
		Permissions: forMessages,
		About:       "a button or an ice breaker was chosen",
		Identity:    "message id; without one: sender, timestamp, payload"},
	{Name: "messaging_referral", Page: "messaging_referrals", Kind: Message, Keys: []string{"referral"},
		Permissions: forMessages,
		About:       "a conversation was entered through a link or an ad",
		Identity:    "sender, timestamp, ref"},
	{Name: "messaging_optins", Page: "messaging_optins", Kind: Message, Keys: []string{"optin"},
		Permissions: forMessagesNotUnified,
		About:       "a user agreed to be sent messages",
		Identity:    "sender, timestamp"},
	{Name: "messaging_handover", Page: "messaging_handovers", Kind: Message,
		Keys:        []string{"pass_thread_control", "take_thread_control", "request_thread_control", "app_roles"},
		Permissions: forMessagesNotUnified,
		About:       "control of a conversation went, or is asked to go, to another app",
		Identity:    "sender, timestamp, key"},
	{Name: "standby", Page: "standby", Kind: Standby, Permissions: forMessagesNotUnified,
		About:    "any of the above in a conversation that another app controls",
		Identity: "that of the field that the key stands for, after its name"},

	undocumentedField("agent_messages", "", "messages of an agent"),
	undocumentedField("comment_poll_response", "comment_poll_response", "an answer to a poll in the comments"),
	undocumentedField("creator_marketplace_invited_creator_onboarding", "",
		"an invited creator joined the creator marketplace"),
	undocumentedField("creator_marketplace_projects", "", "a project in the creator marketplace changed"),
	undocumentedField("delta", "", "not documented"),
	undocumentedField("follow", "follow", "a user followed the account"),
	undocumentedField("onboarding_welcome_message_series", "", "not documented"),
	undocumentedField("share_to_story", "", "a media of the account was shared to a story"),
	undocumentedField("story_poll_response", "story_poll_response", "an answer to a poll in a story"),
	undocumentedField("story_reactions", "", "a reaction to a story"),

	{Name: "message_echoes", Page: "message_echoes", Kind: Message, Refused: true,
		About:    "messages sent by the account; they come with messages",
		Identity: "that of messages"},
	{Name: "messaging_policy_enforcement", Page: "messaging_policy_enforcement", Kind: Message, Refused: true,
		Keys:     []string{"policy_enforcement"},
		About:    "Meta warned or restricted the account",
		Identity: hashIdentity},
	{Name: "response_feedback", Page: "response_feedback", Kind: Message, Refused: true,
		Keys:     []string{"response_feedback"},
		About:    "a user rated an answer",
		Identity: hashIdentity},
}

// undocumentedField describes a field that Meta's API accepts and whose events
// its documentation does not describe.
func undocumentedField(name, page, about string) Field {
	return Field{
		Name: name, Page: page, Kind: Change, About: about, Identity: hashIdentity,
		Permissions: Permissions{UnifiedLogin: NotOffered},
	}
}

// The names of further fields of Meta's other products, whose deliveries may come
// to the same URL. See the fields of "subscribed_apps" in Meta's "Graph API ›
// Reference › Page", "WhatsApp Business Platform › Webhooks" and "Threads ›
// Webhooks".
const (
	pageFieldNames = `
	business_integrity call_permission_reply call_settings_update calls conversations feed group_feed
	inbox_labels leadgen live_videos marketing_message_delivery_failed marketing_message_echoes mention
	merchant_review message_context message_deliveries message_mention message_template_status_update
	messaging_account_linking messaging_appointments messaging_checkout_updates messaging_customer_information
	messaging_feedback messaging_game_plays messaging_in_thread_lead_form_submit messaging_integrity
	messaging_optouts messaging_payments messaging_pre_checkouts product_review ratings send_cart user_action
	videos`

	// Fields for the parts of a Page's profile, and others that few apps use.
	pageProfileFieldNames = `
	affiliation attire awards bio birthday category checkins company_overview culinary_team current_location
	description email feature_access_list founded general_info general_manager hometown hours
	invoice_access_bank_slip_events invoice_access_invoice_change invoice_access_invoice_draft_change
	invoice_access_onboarding_status_active leadgen_fat local_delivery location mcom_invoice_change members
	messaging_direct_sends messaging_fblogin_account_linking mission name page_about_story page_change_proposal
	page_upcoming_change parking payment_options payment_request_update personal_info personal_interests phone
	picture price_range products public_transit publisher_subscriptions registration
	video_text_question_responses website`

	whatsappFieldNames = `
	account_alerts account_review_update account_settings_update account_update automatic_events
	business_capability_update business_status_update flows group_lifecycle_update group_participants_update
	group_settings_update group_status_update history message_template_components_update
	message_template_quality_update message_template_status_update partner_solutions
	payment_configuration_update phone_number_name_update phone_number_quality_update security
	smb_app_state_sync smb_message_echoes template_category_update template_correct_category_detection
	tracking_events user_id_update user_preferences`

	threadsFieldNames = ` delete publish replies`

	// What Meta posts to the deauthorize and the data deletion callbacks of an app. It is
	// an event once instagram_signed_request has verified it.
	signedRequestFieldNames = ` deauthorize deletion`
)

// fieldNames are the names that an event may have as its Field, as far as they
// are known, with those of Instagram first.
var fieldNames = func() []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	names = append(names, PageFields()...)
	names = append(names, strings.Fields(pageProfileFieldNames+whatsappFieldNames+threadsFieldNames+signedRequestFieldNames)...)
	return append(names, Unparsed)
}()

// fieldLabels has each of the fieldNames as key and value. A label in metrics must
// not keep the text of an event in memory.
var fieldLabels = func() map[string]string {
	labels := make(map[string]string)
	for _, name := range fieldNames {
		labels[name] = name
	}
	return labels
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
	return findField(func(f Field) bool { return f.Name == name })
}

// FieldByPage returns the description of the field that Facebook Pages have by
// that name, if Instagram accounts have it too.
func FieldByPage(name string) (Field, bool) {
	return findField(func(f Field) bool { return f.Page != "" && f.Page == name })
}

func findField(matches func(Field) bool) (f Field, found bool) {
	if i := slices.IndexFunc(fields, matches); i >= 0 {
		f, found = fields[i], true
		f.Keys = slices.Clone(f.Keys)
	}
	return f, found
}

// PageFields returns the names of the fields of a Facebook Page that an app can
// subscribe to, as it does with Facebook Login, in alphabetical order. See
// "subscribed_apps" in Meta's "Graph API › Reference › Page".
func PageFields() []string {
	names := strings.Fields(pageFieldNames)
	for _, f := range fields {
		if f.Page != "" {
			names = append(names, f.Page)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ValidateFields returns an error if one of the names is empty, which no field's
// name is. All others are valid, because Meta adds fields; see FieldWarnings.
func ValidateFields(names []string) error {
	if slices.Contains(names, "") {
		return errors.New("the name of a field is empty")
	}
	return nil
}

// FieldWarnings returns a sentence for each name that may be misspelt, because no
// field by that name is known. Known are Unparsed and the fields of Instagram, of
// Pages, of WhatsApp and of Threads.
func FieldWarnings(names []string) []string {
	var warnings []string
	for _, name := range names {
		if _, known := fieldLabels[name]; !known {
			nearest := suggest.Nearest(strings.ToLower(name), fieldNames, 1)[0]
			warnings = append(warnings, fmt.Sprintf(
				"field %q is not known: is it misspelt? The nearest that is known is %q", name, nearest))
		}
	}
	return warnings
}

// Selects reports whether an option that lists the fields applies to an event with
// that Field. An empty list applies to all. Unparsed is always selected, because
// nobody knows what it is.
func Selects(fields []string, field string) bool {
	return len(fields) == 0 || field == Unparsed || slices.Contains(fields, field)
}

// FieldLabel returns field as the value of a label in metrics. It is "other" for a
// field that is not known, so that whatever Meta sends cannot add labels without
// bound.
func FieldLabel(field string) string {
	if label, known := fieldLabels[field]; known {
		return label
	}
	return "other"
}
