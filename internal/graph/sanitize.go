package graph

import (
	"bytes"
	"encoding/json"

	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// maxValue bounds each text of a good answer, in bytes. A real one is shorter
// than a token.
const maxValue = 4096

// sanitizeJSON takes secrets, control characters and excess length out of all texts
// of an answer in JSON: who answers knows the token, and could have its echo
// printed as a name.
func sanitizeJSON(data []byte, secrets []string) []byte {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var answer any
	if decoder.Decode(&answer) != nil {
		return data // no text will be read of it
	}
	cleaned, err := json.Marshal(sanitizeValue(answer, secrets))
	if err != nil {
		return nil
	}
	return cleaned
}

func sanitizeValue(v any, secrets []string) any {
	switch v := v.(type) {
	case string:
		return sanitize.Text(v, maxValue, secrets...)
	case []any:
		for i := range v {
			v[i] = sanitizeValue(v[i], secrets)
		}
	case map[string]any:
		for key := range v {
			v[key] = sanitizeValue(v[key], secrets)
		}
	}
	return v
}
