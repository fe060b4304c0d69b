package event

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-instagram/webhooks/internal/suggest"
)

// The names of fields of Meta's other products, whose deliveries come to the same
// URLs, beside those that the table of fields has. See the fields of
// "subscribed_apps" in "Graph API › Reference › Page", "WhatsApp Business Platform ›
// Webhooks" and "Threads › Webhooks".
const (
	pageFieldNames = `
	business_integrity call_permission_reply call_settings_update calls conversations feed group_feed
	inbox_labels leadgen live_videos marketing_message_delivery_failed marketing_message_echoes mention
	merchant_review message_context message_deliveries message_mention message_template_status_update
	messaging_account_linking messaging_appointments messaging_checkout_updates messaging_customer_information
	messaging_feedback messaging_game_plays messaging_in_thread_lead_form_submit messaging_integrity
	messaging_optouts messaging_payments messaging_pre_checkouts product_review ratings send_cart user_action
	videos`

	// Each line of a Page's profile has a field, and there are others that few use.
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

	threadsFieldNames = `
	delete publish replies`
)

// fieldNames are the names that an event may have as its field, as far as they
// are known.
var fieldNames = func() []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	names = append(append(names, PageFields()...), strings.Fields(pageProfileFieldNames+whatsappFieldNames+threadsFieldNames)...)
	return append(names, Unparsed)
}()

// fieldLabels holds the fieldNames by themselves. A label is asked for with each
// event, and must not keep the text of one in memory.
var fieldLabels = func() map[string]string {
	labels := make(map[string]string)
	for _, name := range fieldNames {
		labels[name] = name
	}
	return labels
}()

// ValidateFields returns an error for a name that no event has: an empty one. All
// others are allowed, as Meta adds fields; see FieldWarnings.
func ValidateFields(names []string) error {
	if slices.Contains(names, "") {
		return errors.New("the name of a field is empty")
	}
	return nil
}

// FieldWarnings returns a sentence for each name that no field is known to have: it
// may be misspelt. Known are those of Fields, of Pages, WhatsApp and Threads, and
// Unparsed.
func FieldWarnings(names []string) []string {
	var warnings []string
	for _, name := range names {
		if _, known := fieldLabels[name]; !known {
			nearest := suggest.Nearest(strings.ToLower(name), fieldNames, 1)[0]
			warnings = append(warnings, fmt.Sprintf("field %q is not known: is it misspelt? The nearest that is known is %q", name, nearest))
		}
	}
	return warnings
}

// Selects reports whether fields, the names that an option asks for, select events
// of a field: no names select all. Unparsed is always selected: nobody knows what
// it is.
func Selects(fields []string, field string) bool {
	return len(fields) == 0 || field == Unparsed || slices.Contains(fields, field)
}

// FieldLabel returns field for use as a label in metrics: Meta can send a field
// that nobody knows yet, so such a field becomes "other", which bounds the
// values.
func FieldLabel(field string) string {
	if label, ok := fieldLabels[field]; ok {
		return label
	}
	return "other"
}
