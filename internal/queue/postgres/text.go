package postgres

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// prefix is that of a text in hex.
const prefix = `\x`

// text returns a text as it is stored: as it is, if PostgreSQL can hold it.
func text(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, "\x00") && !strings.HasPrefix(s, prefix) {
		return s
	}
	return prefix + hex.EncodeToString([]byte(s))
}

func untext(s string) string {
	if digits, ok := strings.CutPrefix(s, prefix); ok {
		if b, err := hex.DecodeString(digits); err == nil {
			return string(b)
		}
	}
	return s
}

// attempt is a queue.Attempt as it is stored.
type attempt struct {
	Ended  int64  `json:"ended"`
	Took   int64  `json:"took"` // nanoseconds
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
	Answer []byte `json:"answer,omitempty"`
}

func encodeAttempt(a *queue.Attempt) string {
	encoded, err := json.Marshal(attempt{queue.Micros(a.Ended), int64(a.Took), a.Status, text(a.Error), a.Answer})
	if err != nil {
		panic(err) // it has nothing that JSON cannot hold
	}
	return string(encoded)
}

func decodeAttempt(encoded string) (queue.Attempt, error) {
	var a attempt
	err := json.Unmarshal([]byte(encoded), &a)
	return queue.Attempt{Ended: queue.FromMicros(a.Ended), Took: time.Duration(a.Took), Status: a.Status, Error: untext(a.Error), Answer: a.Answer}, err
}
