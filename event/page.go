package event

import (
	"slices"
	"strings"
)

// pageOnly are fields of a Facebook Page that Instagram accounts have nothing
// like. They are not all: Meta has some for each line of a Page's profile.
var pageOnly = strings.Fields(`business_integrity call_permission_reply call_settings_update calls
	conversations feed group_feed inbox_labels leadgen live_videos marketing_message_delivery_failed
	marketing_message_echoes mention merchant_review message_context message_deliveries message_mention
	message_template_status_update messaging_account_linking messaging_appointments
	messaging_checkout_updates messaging_customer_information messaging_feedback messaging_game_plays
	messaging_in_thread_lead_form_submit messaging_integrity messaging_optouts messaging_payments
	messaging_pre_checkouts product_review ratings send_cart user_action videos`)

// PageFields returns the names that an app can subscribe a Facebook Page to, as
// it does with Facebook Login: those of the table of fields, and the others that
// are known. See "subscribed_apps" in Meta's "Graph API › Reference › Page".
func PageFields() []string {
	names := slices.Clone(pageOnly)
	for _, f := range fields {
		if f.Page != "" {
			names = append(names, f.Page)
		}
	}
	slices.Sort(names)
	return names
}

// FieldByPage returns the description of the field that a Facebook Page has by
// that name, if Instagram accounts have it, too.
func FieldByPage(name string) (Field, bool) {
	for _, f := range fields {
		if f.Page != "" && f.Page == name {
			return FieldByName(f.Name)
		}
	}
	return Field{}, false
}
