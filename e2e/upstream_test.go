package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// echo is what the backends answer: the request as it reached them.
type echo struct {
	Method           string              `json:"method"`
	URI              string              `json:"uri"`
	SHA256           string              `json:"sha256"`
	Length           int                 `json:"length"`
	ContentLength    int64               `json:"content_length"`
	TransferEncoding []string            `json:"transfer_encoding"`
	Header           map[string][]string `json:"header"`
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// upstreamMain is the application behind reverse_proxy, which knows nothing of
// Meta's signatures. It ends when its parent does.
func upstreamMain() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()

	var mu sync.Mutex
	var ledger []string
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e := echo{r.Method, r.RequestURI, hexSHA256(body), len(body), r.ContentLength, r.TransferEncoding, r.Header}
		mu.Lock()
		ledger = append(ledger, e.SHA256)
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(e)
	})
	// What the leak tests need: nothing of the request comes back, and an
	// answer that breaks off.
	http.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})
	http.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "only this")
	})
	http.HandleFunc("/hangup", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	// What the reload tests need: a request that takes as long as they say.
	release := make(chan struct{})
	http.HandleFunc("/held", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Println("holding a request")
		<-release
	})
	http.HandleFunc("/release", func(http.ResponseWriter, *http.Request) { close(release) })
	http.HandleFunc("/ledger", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, sum := range ledger {
			fmt.Fprintln(w, sum)
		}
	})
	fmt.Fprintln(os.Stderr, http.Serve(listener, nil))
	os.Exit(1)
}

// upstream is that application in another process.
type upstream struct {
	*process
	addr string
}

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = environment(roleVariable + "=upstream")
	stdin, err := cmd.StdinPipe() // held open as long as the tests live
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{process: runProcess(t, "upstream", cmd)}
	t.Cleanup(func() { _ = stdin.Close() })
	u.addr = u.mustAwait(t, `listening on (\S+)\n`)[1]
	return u
}

// release lets the request end that the application holds.
func (u *upstream) release(t *testing.T) {
	t.Helper()
	resp, err := http.Get("http://" + u.addr + "/release")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// ledger returns how often each body, by its SHA-256, reached the application.
func (u *upstream) ledger(t *testing.T) map[string]int {
	t.Helper()
	resp, err := http.Get("http://" + u.addr + "/ledger")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	received := make(map[string]int)
	scanner := bufio.NewScanner(resp.Body)
	for scanner.Scan() {
		received[strings.TrimSpace(scanner.Text())]++
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return received
}
