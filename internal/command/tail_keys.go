package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/term"
)

// keys are what somebody at a terminal can do about the events that were printed.
type keys struct {
	tail   *tail
	end    func()
	screen *screen
	events []*happened // the last ones of a queue
	at     int         // index of the one that is selected
	busy   *happened   // the one that is being sent or read; nil: none
}

// maxSelectable is how many events can be selected.
const maxSelectable = 200

// readKeys obeys keys until ctx ends or stop is called, if there is a terminal to read from
// and to print to.
func (t *tail) readKeys(ctx context.Context, end func()) (stop func(), err error) {
	in, ok := t.c.in.(*os.File)
	if !ok || t.c.json || !term.IsTerminal(int(in.Fd())) || !terminal(t.c.out) || os.Getenv("TERM") == "dumb" {
		return func() {}, nil
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	out, errs := t.c.out, t.c.err
	t.keys = newKeys(t, end, out, terminalWidth(out))
	if !terminal(errs) {
		t.c.err = errs
	}
	go t.keys.read(ctx, in)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.keys.screen.setLine("")
		t.c.out, t.c.err = out, errs
		_ = term.Restore(int(in.Fd()), before) // nobody is left to be told
	}, nil
}

// newKeys has the console print above a line that says what is selected.
func newKeys(t *tail, end func(), out io.Writer, width int) *keys {
	k := &keys{tail: t, end: end, screen: &screen{out: out, width: width}}
	t.c.out, t.c.err = k.screen, k.screen
	return k
}

// read obeys what is typed.
func (k *keys) read(ctx context.Context, in io.Reader) {
	var typed [1]byte
	for ctx.Err() == nil {
		if _, err := in.Read(typed[:]); err != nil {
			return
		}
		switch typed[0] {
		case 'q', 3, 4: // Ctrl+C and Ctrl+D are keys on a raw terminal
			k.end()
			return
		case 'j', 'k':
			k.tail.mu.Lock()
			k.move(map[byte]int{'j': 1, 'k': -1}[typed[0]])
			k.tail.mu.Unlock()
		case 'r':
			if k.tail.client != nil {
				k.start(ctx, k.tail.forwardOne)
			}
		case 'd':
			k.start(ctx, k.show)
		}
	}
}

// add makes an event selectable. The newest stays selected, unless another was chosen.
func (k *keys) add(e *happened) {
	if slices.ContainsFunc(k.events, func(o *happened) bool { return o.ID == e.ID && o.Store == e.Store }) {
		return // another attempt
	}
	newest := k.at == len(k.events)-1
	k.events = append(k.events, e)
	if len(k.events) > maxSelectable {
		k.events = k.events[1:]
		k.at = max(0, k.at-1)
	}
	if newest {
		k.at = len(k.events) - 1
	}
	k.move(0)
}

// move selects another event, and shows which one.
func (k *keys) move(by int) {
	if len(k.events) == 0 {
		return
	}
	k.at = min(max(k.at+by, 0), len(k.events)-1)
	e := k.events[k.at]
	again := ""
	if k.tail.client != nil {
		again = "r send again  "
	}
	k.screen.setLine(fmt.Sprintf("> %d %s  j k select  %sd show  q end", e.ID, visible(e.Field), again))
}

// start does something about the event that is selected, one at a time, while keys go on
// being read: it may take as long as whoever is asked likes.
func (k *keys) start(ctx context.Context, do func(context.Context, *happened)) {
	k.tail.mu.Lock()
	defer k.tail.mu.Unlock()
	switch e := k.selected(); {
	case e == nil:
	case k.busy != nil:
		k.tail.c.note("Event %d is not answered yet: press the key again later.", k.busy.ID)
	default:
		k.busy = e
		go func() {
			do(ctx, e)
			k.tail.mu.Lock()
			defer k.tail.mu.Unlock()
			k.busy = nil
		}()
	}
}

// selected returns the event that is selected, or nil. The caller holds the mutex.
func (k *keys) selected() *happened {
	if len(k.events) == 0 {
		return nil
	}
	return k.events[k.at]
}

// show prints an event with its body.
func (k *keys) show(ctx context.Context, e *happened) {
	stored, err := k.tail.stored(ctx, e.Store, e.ID)
	k.tail.mu.Lock()
	defer k.tail.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return // the terminal is not ours any more
	case err != nil:
		k.tail.c.note("Event %d: %s", e.ID, err)
		return
	}
	var text bytes.Buffer
	(&queueEvent{Event: stored}).text(&console{out: &text, width: k.screen.width})
	_, _ = k.screen.Write(text.Bytes()) // the next line that is printed tells the error
}

// screen is a raw terminal, with a last line that stays while others are printed above it.
type screen struct {
	out   io.Writer
	width int

	mu   sync.Mutex
	line string
}

// Write implements io.Writer for whole lines.
func (s *screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(text), s.draw(string(text))
}

// setLine changes the last line.
func (s *screen) setLine(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if runes := []rune(line); len(runes) >= s.width {
		line = string(runes[:s.width-1]) // a terminal would break it
	}
	s.line = line
	_ = s.draw("") // the next line that is printed tells the error
}

func (s *screen) draw(text string) error {
	_, err := io.WriteString(s.out, "\r\x1b[K"+strings.ReplaceAll(text, "\n", "\r\n")+s.line)
	return err
}
