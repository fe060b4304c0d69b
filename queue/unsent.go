package queue

import (
	"slices"
	"strings"

	"github.com/caddy-instagram/webhooks/event"
)

// messageFields are the fields of what somebody writes in a message, and of what takes it
// back.
var messageFields = []string{"messages", "message_echoes", "message_edit", "message_edits"}

// messageOf returns what a message, its edits and what takes it back have in common, or ""
// for any other event.
func messageOf(e *event.Event) string {
	if e.MessageID() == "" || e.Account == "" || e.Test {
		return ""
	}
	field := e.Field
	if e.Kind == event.Standby { // its identity says what it is
		field = strings.Split(e.ID(), "/")[3]
	}
	if !slices.Contains(messageFields, field) {
		return ""
	}
	return e.Account + "/" + e.MessageID()
}

// takesBack reports whether a delivery has taken a message back that is to be erased.
func (h *Handler) takesBack(d *event.Delivery) bool {
	return h.Unsent == unsentErase && slices.ContainsFunc(d.Events(), func(e event.Event) bool { return e.Unsent })
}
