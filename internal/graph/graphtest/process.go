package graphtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// Main is the main function of a program that is the stand-in: it reads a State
// from the file that its first argument names, prints its URL, and serves until
// its standard input ends. GET /.state and GET /.requests show what it knows
// and was asked.
func Main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "graphtest:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	var state State
	for _, file := range args {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, &state); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := New(state)
	mux := http.NewServeMux()
	mux.Handle("/", s)
	mux.HandleFunc("GET /.state", func(w http.ResponseWriter, _ *http.Request) { show(w, s.State()) })
	mux.HandleFunc("GET /.requests", func(w http.ResponseWriter, _ *http.Request) { show(w, s.Requests()) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		_, _ = io.Copy(io.Discard, in) // ends with who started this
		_ = server.Close()
	}()
	fmt.Fprintf(out, "http://%s\n", l.Addr())
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func show(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v)
}
