package sample_test

import (
	"fmt"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

// A test can make the deliveries that it needs. The same seed makes the same ones.
func ExampleGenerator_Delivery() {
	body := sample.New(1).Delivery(sample.StyleOf("messages"), 3, "messages", "messaging_seen")
	for _, e := range event.Split(body) {
		fmt.Println(e.Object, e.Kind, e.Field)
	}
	// Output:
	// instagram message messages
	// instagram message messaging_seen
	// instagram message messages
}

func ExampleGenerator_TestButton() {
	e := event.Split(sample.New(1).TestButton("comments"))[0]
	fmt.Println(e.Field, e.Test, e.ID())
	// Output:
	// comments true instagram/0/comments/17849203761125840
}
