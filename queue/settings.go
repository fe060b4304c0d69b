package queue

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// numberedGroup is, in JSON, the group of a route that the Caddyfile adapter has named. Within
// a string there would be a backslash before the first quote.
var numberedGroup = regexp.MustCompile(`[{,]"group":"group[0-9]+"`)

// settings returns the options as they were configured, for a comparison. The Caddyfile
// adapter numbers the groups of routes through all sites, so the same routes have other
// numbers in each site: here the first group has number 0.
func (h *Handler) settings() (string, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return "", err
	}
	var values any // whose keys are then sorted
	if err := json.Unmarshal(text, &values); err != nil {
		return "", err
	}
	if text, err = json.Marshal(values); err != nil {
		return "", err
	}
	numbers := make(map[string]int)
	return numberedGroup.ReplaceAllStringFunc(string(text), func(found string) string {
		group := found[1:]
		if _, known := numbers[group]; !known {
			numbers[group] = len(numbers)
		}
		return fmt.Sprintf(`%c"group":"group%d"`, found[0], numbers[group])
	}), nil
}
