package event

import (
	"slices"
	"strings"
)

// PageFields returns the names that an app can subscribe a Facebook Page to, as
// it does with Facebook Login: those of the table of fields, and the others that
// are known. See "subscribed_apps" in Meta's "Graph API › Reference › Page".
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
