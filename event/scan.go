package event

import "github.com/caddy-instagram/webhooks/internal/jsonscan"

// scanner reads JSON, and knows the shapes of what Meta sends.
type scanner struct{ jsonscan.Scanner }

func newScanner(text string) scanner { return scanner{jsonscan.Scanner{Text: text}} }

// scalarMember is a member of an object to read, and where to store its scalar.
type scalarMember struct {
	name string
	to   *string
}

// scalars reads the scalars of some members of an object.
func (s *scanner) scalars(wanted []scalarMember) {
	for _, name := range s.Members {
		for _, member := range wanted {
			if member.name == name {
				*member.to = s.Scalar()
				break
			}
		}
	}
}
