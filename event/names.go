package event

import (
	"fmt"
	"slices"
	"strings"
)

// fieldNames are the names that an event may have as its field, as far as they
// are known.
var fieldNames = func() []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
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

// ValidateFields returns an error for a name that is neither in the table of
// Fields nor Unparsed.
func ValidateFields(names []string) error {
	for _, name := range names {
		if !slices.Contains(fieldNames, name) {
			return fmt.Errorf("field %q is none of %s", name, strings.Join(fieldNames, ", "))
		}
	}
	return nil
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
