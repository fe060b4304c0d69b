package event_test

import (
	"encoding/json"
	"fmt"

	"github.com/caddy-instagram/webhooks/event"
)

// This delivery has a comment, and a message that was sent to another account.
const twoAccounts = `{"object":"instagram","entry":[
	{"id":"17841400000000001","time":1781093005,"changes":[{"field":"comments",
		"value":{"id":"18000000000000001","from":{"id":"240000001"},"text":"Do you ship to Norway?"}}]},
	{"id":"17841400000000002","time":1781093005400,"messaging":[{
		"sender":{"id":"620000001"},"recipient":{"id":"17841400000000002"},"timestamp":1781093005194,
		"message":{"mid":"aWdfZAG1faXRlbTox","text":"Hello"}}]}]}`

func ExampleSplit() {
	for _, e := range event.Split([]byte(twoAccounts)) {
		fmt.Println(e.Kind, e.Field, "for", e.Account, "from", e.Sender)
	}
	// Output:
	// change comments for 17841400000000001 from 240000001
	// message messages for 17841400000000002 from 620000001
}

// What cannot be taken apart is an event too, so that nothing is lost.
func ExampleSplit_unparsed() {
	for _, e := range event.Split([]byte(`{"object":"instagram","entry":[{"id":"17841400000000001"}]}`)) {
		fmt.Println(e.Field, e.Account)
	}
	// Output:
	// unparsed 17841400000000001
}

// A program that remembers IDs acts once on what Meta sends twice.
func ExampleEvent_ID() {
	seen := make(map[string]bool)
	for range 2 { // the second time, Meta sends it again
		for _, e := range event.Split([]byte(twoAccounts)) {
			if id := e.ID(); !seen[id] || e.NotUnique() {
				seen[id] = true
				fmt.Println(id)
			}
		}
	}
	// Output:
	// instagram/17841400000000001/comments/18000000000000001
	// instagram/17841400000000002/messages/aWdfZAG1faXRlbTox
}

// Events of one conversation share a key, and must be handled in order.
func ExampleEvent_Conversation() {
	for _, e := range event.Split([]byte(twoAccounts)) {
		fmt.Println(e.Conversation())
	}
	// Output:
	// 17841400000000001/18000000000000001
	// 17841400000000002/620000001
}

// The envelope of an event is a delivery with this event alone, for programs that
// read what Meta sends.
func ExampleEvent_Envelope() {
	body := `{"object":"instagram","entry":[{"id":"17","time":1781093005,"changes":[` +
		`{"field":"mentions","value":{"media_id":"18"}},{"field":"mentions","value":{"media_id":"19"}}]}]}`
	for _, e := range event.Split([]byte(body)) {
		fmt.Printf("%s\n", e.Envelope())
	}
	// Output:
	// {"object":"instagram","entry":[{"id":"17","time":1781093005,"changes":[{"field":"mentions","value":{"media_id":"18"}}]}]}
	// {"object":"instagram","entry":[{"id":"17","time":1781093005,"changes":[{"field":"mentions","value":{"media_id":"19"}}]}]}
}

func ExampleEvent_AppendCloudEvent() {
	body := `{"object":"instagram","entry":[{"id":"17841400000000001","time":1781093005,"changes":[` +
		`{"field":"mentions","value":{"media_id":"18","comment_id":"19"}}]}]}`
	e := event.Split([]byte(body))[0]
	var cloudEvent struct{ ID, Source, Type, Subject, Time string }
	if err := json.Unmarshal(e.AppendCloudEvent(nil), &cloudEvent); err != nil {
		fmt.Println(err)
	}
	fmt.Println("id:     ", cloudEvent.ID)
	fmt.Println("source: ", cloudEvent.Source)
	fmt.Println("type:   ", cloudEvent.Type)
	fmt.Println("subject:", cloudEvent.Subject)
	fmt.Println("time:   ", cloudEvent.Time)
	// Output:
	// id:      instagram/17841400000000001/mentions/18/19
	// source:  /instagram/17841400000000001
	// type:    com.instagram.mentions
	// subject: 18
	// time:    2026-06-10T12:03:25Z
}
