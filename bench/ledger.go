//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ledgerFile is what servers that write events to a file call it.
const ledgerFile = "events.jsonl"

// lost returns how many events were acknowledged, and are nowhere to be found:
// neither in the file, nor in the queue, which held some before, nor with the
// application.
func (s *server) lost(requests *pool, o *outcome, behind *backend, before int) (float64, error) {
	var acknowledged []string
	for i, ok := range o.acknowledged {
		if ok {
			acknowledged = append(acknowledged, identities(requests.body(i))...)
		}
	}
	switch {
	case s.target.file:
		s.kill() // what it has in its own memory is not in the file
		written, err := writtenTo(filepath.Join(s.dir, ledgerFile))
		n := 0
		for _, id := range acknowledged {
			if !written[id] {
				n++
			}
		}
		return float64(n), err
	case s.target.held:
		c, err := s.queue()
		return float64(max(0, (len(acknowledged)+before)*max(1, s.target.consumers)-c.sum())), err
	default:
		select {
		case <-behind.expect(len(acknowledged)):
		case <-time.After(10 * maxWait): // as for a backlog
		}
		return float64(behind.missing(acknowledged)), s.checkForgotten(len(acknowledged))
	}
}

// checkForgotten returns an error if a queue that forgets has not begun to do so.
func (s *server) checkForgotten(acknowledged int) error {
	if !s.target.forgets {
		return nil
	}
	c, err := s.queue()
	if err == nil && c.sum() >= acknowledged {
		err = errors.New("the queue has forgotten nothing")
	}
	return err
}

// writtenTo returns the identities of the events in a file: in each line is a
// CloudEvent, or a delivery in Meta's form.
func writtenTo(name string) (map[string]bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := make(map[string]bool)
	for in := bufio.NewReader(f); ; {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // half a line is no event
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(line, []byte(`{"specversion"`)) {
			var e struct{ ID string }
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, err
			}
			all[e.ID] = true
			continue
		}
		for _, id := range identities(line) {
			all[id] = true
		}
	}
}
