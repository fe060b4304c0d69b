package app

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// recorder notes what is done with services.
type recorder struct {
	mu    sync.Mutex
	calls []string
}

func (r *recorder) note(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
}

type service struct {
	*recorder
	name        string
	start, stop error
}

func (s *service) Start() error { s.note("start " + s.name); return s.start }

func (s *service) Stop() error { s.note("stop " + s.name); return s.stop }

func TestAppRunsServices(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		b          *service
		start      error
		stop       error
		begin, end []string
	}{
		"all": {
			b:     &service{name: "b"},
			begin: []string{"start a", "start b", "start c"},
			end:   []string{"stop a", "stop b", "stop c"},
		},
		"one cannot start": {
			b:     &service{name: "b", start: broken},
			start: broken,
			begin: []string{"start a", "start b", "stop a"},
		},
		"one cannot stop": {
			b:     &service{name: "b", stop: broken},
			stop:  broken,
			begin: []string{"start a", "start b", "start c"},
			end:   []string{"stop a", "stop b", "stop c"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := new(App)
			r := new(recorder)
			tc.b.recorder = r
			for _, s := range []Service{&service{recorder: r, name: "a"}, tc.b, &service{recorder: r, name: "c"}} {
				a.Register(s)
			}
			if err := a.Start(); !errors.Is(err, tc.start) {
				t.Errorf("start: %v, want %v", err, tc.start)
			}
			if !slices.Equal(r.calls, tc.begin) {
				t.Errorf("got %q, want %q", r.calls, tc.begin)
			}
			r.calls = nil
			if err := a.Stop(); !errors.Is(err, tc.stop) {
				t.Errorf("stop: %v, want %v", err, tc.stop)
			}
			slices.Sort(r.calls)
			if !slices.Equal(r.calls, tc.end) {
				t.Errorf("got %q, want %q", r.calls, tc.end)
			}
		})
	}
}

// TestAppWarnsOnce keeps a piece of a config that stands in several sites from
// being warned of several times.
func TestAppWarnsOnce(t *testing.T) {
	t.Parallel()
	a := new(App)
	if !a.Once("a") || a.Once("a") || !a.Once("b") {
		t.Error("a text was said twice, or not at all")
	}
	var none *App
	for range 2 {
		if !none.Once("a") {
			t.Error("outside of a config, a text was not said")
		}
	}
}

// TestAppExaminesEachConfigOnce: one that runs, and one that is only validated.
func TestAppExaminesEachConfigOnce(t *testing.T) {
	before := examinations
	defer func() { examinations = before }()
	var examined []*App
	RegisterExamination(func(_ caddy.Context, a *App) { examined = append(examined, a) })
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	started, validated := new(App), new(App)
	for _, a := range []*App{started, validated} {
		if err := a.Provision(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := started.Start(); err != nil || !slices.Equal(examined, []*App{started}) {
		t.Errorf("%v, examined %d", err, len(examined))
	}
	for _, a := range []*App{started, validated} {
		if err := a.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(examined, []*App{started, validated}) {
		t.Errorf("examined %d", len(examined))
	}
}
