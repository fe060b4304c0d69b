package check

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

func TestAllIsWell(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	var mu sync.Mutex
	largest := 0
	c.serve.(*receiver).events = func(events []event.Event) {
		mu.Lock()
		defer mu.Unlock()
		largest = max(largest, len(events))
		for _, e := range events {
			if !e.Test || e.Field == event.Unparsed {
				t.Errorf("this is not tagged as a test: %+v", e)
			}
		}
	}
	c.withSigned()
	c.DeauthorizeURL, c.DeletionURL = deauthorizeURL, deletionURL
	r := c.run()
	r.expect(t, nil, nil)
	if got := r.with(Skipped); !slices.Equal(got, []string{Config}) {
		t.Errorf("skipped %q", got)
	}
	if want := len(outside) + 6; r.Count(OK) != want || r.Worst() != OK {
		t.Errorf("%d checks are ok, want %d", r.Count(OK), want)
	}
	if largest != meta.MaxUpdates {
		t.Errorf("the largest delivery had %d events", largest)
	}
}

// TestFaults breaks one thing after the other: each must be named by exactly the
// right checks.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		harm     func(c *fixture)
		faults   []string
		warnings []string
		says     string // in the first fault, or the first warning
	}{
		"wrong verify token": {
			harm:   func(c *fixture) { c.VerifyToken = "not-the-s3cr3t" },
			faults: []string{Verification}, says: "Caddy has another verify token",
		},
		"wrong app secret": {
			harm:   func(c *fixture) { c.AppSecret = "5ec4e700000000000000000000000000" },
			faults: []string{DeliverySigned}, says: "another app secret",
		},
		"redirect": {
			harm: func(c *fixture) {
				c.wrap(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
					http.Redirect(w, r, "https://www.example.com"+r.URL.Path+"/?x=1", http.StatusMovedPermanently)
				})
			},
			faults: []string{Redirect}, says: "to https://www.example.com/webhooks/, and",
		},
		"redirect of the verification only": {
			harm: func(c *fixture) {
				c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if r.Method == http.MethodGet && r.FormValue("hub.verify_token") == verifyToken {
						http.Redirect(w, r, "/"+r.FormValue("hub.verify_token"), http.StatusFound)
						return
					}
					next.ServeHTTP(w, r)
				})
			},
			faults: []string{Verification}, says: "to https://hooks.example.com/[secret], and",
		},
		"HTML answer": {
			harm: func(c *fixture) {
				c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if r.Method == http.MethodGet {
						fmt.Fprint(w, "<!DOCTYPE html><title>Welcome</title>")
						return
					}
					next.ServeHTTP(w, r)
				})
			},
			faults: []string{Verification}, says: "a web page",
		},
		"quoted challenge":                  {harm: challenge(`"%s"`), faults: []string{Verification}, says: "quotation marks"},
		"challenge with a line feed":        {harm: challenge("%s\n"), faults: []string{Verification}, says: "white space"},
		"challenge in a sentence":           {harm: challenge("challenge %s"), faults: []string{Verification}, says: "more in the answer"},
		"empty answer":                      {harm: challenge("%.0s"), faults: []string{Verification}, says: "is empty"},
		"challenge as HTML":                 {harm: typed("text/html; charset=utf-8"), warnings: []string{Verification}, says: "as text/html"},
		"proxy that writes compact JSON":    {harm: reencode(""), faults: []string{DeliveryUnchanged}, says: "changes the body"},
		"proxy that writes spaced JSON":     {harm: reencode(" "), faults: []string{DeliveryUnchanged}, says: "changes the body"},
		"proxy that removes the signatures": {harm: unsigned, faults: []string{DeliverySigned}, says: "or the header"},
		"limit of 100 KB":                   {harm: limit(100_000, http.StatusRequestEntityTooLarge), faults: []string{DeliveryLarge}, says: `status 413 from "nginx"`},
		"error above 15 KB":                 {harm: limit(15_000, http.StatusInternalServerError), faults: []string{DeliveryLarge}, says: "status 500"},
		"own limit": {
			harm:   func(c *fixture) { c.serve.(*receiver).handler.MaxSize = 100_000 },
			faults: []string{DeliveryLarge}, says: "status 413",
		},
		"application that fails on many updates": {
			harm: func(c *fixture) {
				c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					body := peek(r)
					if bytes.Count(body, []byte("field")) > 50 {
						w.WriteHeader(http.StatusInternalServerError)
						return
					}
					next.ServeHTTP(w, r)
				})
			},
			faults: []string{DeliveryLarge}, says: "one update of that size is",
		},
		"self-signed": {
			harm:   func(c *fixture) { c.tls = present((*issuer)(nil).server(c.t, nil)) },
			faults: []string{CertificateChain}, says: "self-signed",
		},
		"private CA": {
			harm: func(c *fixture) {
				private := newCA(c.t, nil, "Private")
				c.tls = present(with(private.server(c.t, nil), private))
			},
			faults: []string{CertificateChain}, says: "no public CA",
		},
		"missing intermediate": {
			harm: func(c *fixture) {
				whole := c.tls.Certificates[0]
				whole.Certificate = whole.Certificate[:1]
				c.tls = present(&whole)
			},
			faults: []string{CertificateChain}, says: "An intermediate certificate is missing",
		},
		"expired": {
			harm: func(c *fixture) {
				c.tls = present(c.root.server(c.t, func(cert *x509.Certificate) {
					cert.NotBefore, cert.NotAfter = time.Now().Add(-90*time.Hour), time.Now().Add(-time.Hour)
				}))
			},
			faults: []string{CertificateExpiry}, says: "expired on",
		},
		"not yet valid": {
			harm: func(c *fixture) {
				c.tls = present(c.root.server(c.t, func(cert *x509.Certificate) {
					cert.NotBefore, cert.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
				}))
			},
			faults: []string{CertificateExpiry}, says: "valid only from",
		},
		"expires soon": {
			harm: func(c *fixture) {
				c.tls = present(c.root.server(c.t, func(cert *x509.Certificate) {
					cert.NotBefore, cert.NotAfter = time.Now().Add(-90*time.Hour), time.Now().Add(9*time.Hour)
				}))
			},
			warnings: []string{CertificateExpiry}, says: "soon",
		},
		"other host": {
			harm: func(c *fixture) {
				c.tls = present(c.root.server(c.t, func(cert *x509.Certificate) { cert.DNSNames = []string{"www.example.com"} }))
			},
			faults: []string{CertificateName}, says: `"www.example.com"`,
		},
		"self-signed, expired, other host": {
			harm: func(c *fixture) {
				c.tls = present((*issuer)(nil).server(c.t, func(cert *x509.Certificate) {
					cert.NotBefore, cert.NotAfter = time.Now().Add(-90*time.Hour), time.Now().Add(-time.Hour)
					cert.DNSNames = []string{"www.example.com"}
				}))
			},
			faults: []string{CertificateName, CertificateExpiry, CertificateChain},
		},
		"no TLS": {harm: func(c *fixture) { c.tls = nil }, faults: []string{TLS}, says: "handshake fails"},
		"200 to everything": {
			harm: func(c *fixture) {
				c.wrap(func(w http.ResponseWriter, r *http.Request, _ http.Handler) { fmt.Fprint(w, "ok") })
			},
			faults: []string{Verification, DeliveryUnsigned, DeliveryWrongSignature, DeliveryOtherSecret}, warnings: []string{NeighbourPath, NeighbourHost}, says: "2 bytes that are not the challenge",
		},
		"201 to everything": {
			harm: func(c *fixture) {
				c.wrap(func(w http.ResponseWriter, r *http.Request, _ http.Handler) { w.WriteHeader(http.StatusCreated) })
			},
			faults: []string{Verification, DeliverySigned, DeliveryUnsigned, DeliveryWrongSignature, DeliveryOtherSecret}, warnings: []string{NeighbourPath, NeighbourHost}, says: "not 200",
		},
		"403 to everything": {harm: always(http.StatusForbidden), faults: []string{Verification, DeliverySigned}},
		"404 to everything": {harm: always(http.StatusNotFound), faults: []string{Verification, DeliverySigned}, says: "status 404"},
		"challenge for any token": {
			harm: func(c *fixture) {
				c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if r.Method == http.MethodGet {
						fmt.Fprint(w, r.FormValue("hub.challenge"))
						return
					}
					next.ServeHTTP(w, r)
				})
			},
			faults: []string{VerificationWrongToken, VerificationNoToken}, says: "anybody",
		},
		"no answer to anything":   {harm: hangUp(func(*http.Request) bool { return true }), faults: []string{HTTP}, says: "no answer"},
		"no answer to deliveries": {harm: hangUp(isPost), faults: []string{DeliverySigned}, warnings: []string{DeliveryUnsigned, DeliveryWrongSignature, DeliveryOtherSecret}},
		"expired access token": {
			harm: func(c *fixture) {
				c.meta = graphtest.New(graphtest.State{
					Accounts: []*graphtest.Account{{ID: accountID}},
					Tokens:   []*graphtest.Token{{Value: accessToken, App: appID, Account: accountID, Expires: time.Now().Add(-time.Hour)}},
				})
				c.Graph.HTTP = c.meta.Client()
			},
			faults: []string{Token}, says: "An expired token cannot be refreshed",
		},
		"unknown access token": {harm: func(c *fixture) { c.Graph.Token = "IGAA-unknown-s3cr3t" }, faults: []string{Token}, says: "190"},
		"old access token":     {harm: func(c *fixture) { c.TokenWritten = time.Now().Add(-55 * 24 * time.Hour) }, warnings: []string{Token}, says: "age of its file"},
		"fields not subscribed": {
			harm:   func(c *fixture) { c.Fields = []string{"comments", "mentions", "message_edit"} },
			faults: []string{Subscription}, says: "mentions, message_edit are not subscribed for account " + accountID,
		},
		"field too much": {
			harm:     func(c *fixture) { c.Fields = []string{"comments"} },
			warnings: []string{Subscription}, says: "messages is subscribed",
		},
		"nothing subscribed": {
			harm: func(c *fixture) {
				if err := c.Graph.Unsubscribe(c.t.Context(), accountID); err != nil {
					c.t.Fatal(err)
				}
				c.Fields, c.Account = nil, ""
			},
			faults: []string{Subscription}, says: "no event of it will come",
		},
		"other account": {harm: func(c *fixture) { c.Account = "17841400000000009" }, faults: []string{Subscription}, says: "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFixture(t)
			test.harm(c)
			r := c.run()
			r.expect(t, test.faults, test.warnings)
			if len(r.Findings) < len(outside)+3 {
				t.Errorf("only %d findings", len(r.Findings))
			}
			status, worst := Warning, append(r.with(Fault), r.with(Warning)...)
			if test.faults != nil {
				status = Fault
			}
			if r.Worst() != status {
				t.Errorf("the worst is %s", r.Worst())
			}
			if f := r.find(t, worst[0]); !strings.Contains(f.Text+f.Advice, test.says) {
				t.Errorf("it does not say %q: %+v", test.says, f)
			}
		})
	}
}

func present(cert *tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*cert}}
}

func always(status int) func(*fixture) {
	return func(c *fixture) {
		c.wrap(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(status) })
	}
}

// challenge answers the right token with the challenge in another form.
func challenge(form string) func(*fixture) {
	return func(c *fixture) {
		c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodGet && r.FormValue("hub.verify_token") == verifyToken {
				fmt.Fprintf(w, form, r.FormValue("hub.challenge"))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func typed(contentType string) func(*fixture) {
	return func(c *fixture) {
		challenge("%s")(c)
		c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("Content-Type", contentType)
			next.ServeHTTP(w, r)
		})
	}
}

// peek returns the body of a request, which can still be read.
func peek(r *http.Request) []byte {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// reencode reads the JSON of bodies and writes it anew, with a text after commas
// and colons.
func reencode(space string) func(*fixture) {
	return func(c *fixture) {
		c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			var value any
			if json.Unmarshal(peek(r), &value) == nil {
				body, err := json.Marshal(value)
				if err != nil {
					panic(err)
				}
				body = regexp.MustCompile(`([,:])(["[{\d])`).ReplaceAll(body, []byte("${1}"+space+"${2}"))
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			}
			next.ServeHTTP(w, r)
		})
	}
}

func unsigned(c *fixture) {
	c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Header.Del("X-Hub-Signature-256")
		next.ServeHTTP(w, r)
	})
}

// limit answers larger bodies with a status.
func limit(size int64, status int) func(*fixture) {
	return func(c *fixture) {
		c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.ContentLength > size {
				w.Header().Set("Server", "nginx")
				w.WriteHeader(status)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func isPost(r *http.Request) bool { return r.Method == http.MethodPost }

func hangUp(on func(*http.Request) bool) func(*fixture) {
	return func(c *fixture) {
		c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if on(r) {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestWhichSizePasses(t *testing.T) {
	t.Parallel()
	for _, size := range []int{2_000, 15_000, 100_000, 250_000} {
		c := newFixture(t)
		limit(int64(size), http.StatusRequestEntityTooLarge)(c)
		f := c.run().find(t, DeliveryLarge)
		match := regexp.MustCompile(`: ([\d.]+) kB pass, ([\d.]+) kB do not`).FindStringSubmatch(f.Text)
		if match == nil {
			t.Errorf("%d: %s", size, f.Text)
			continue
		}
		passes, err := strconv.ParseFloat(match[1], 64)
		fails, err2 := strconv.ParseFloat(match[2], 64)
		// The numbers are rounded to two digits.
		if err != nil || err2 != nil || passes*1000 > float64(size)*1.05 || fails*1000 < float64(size)*0.95 || fails > passes*1.2+0.2 {
			t.Errorf("%d: %s", size, f.Text)
		}
	}
}

func TestWithoutSecrets(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	c.VerifyToken, c.AppSecret, c.Graph = "", "", nil
	r := c.run()
	r.expect(t, nil, nil)
	want := []string{Config, AppSecret, Verification, DeliverySigned, DeliveryUnchanged, DeliveryLarge, Deauthorize, Deletion, Token, Subscription}
	if got := r.with(Skipped); !slices.Equal(got, want) {
		t.Errorf("skipped %q, want %q", got, want)
	}
}

func TestNoDeliveries(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	c.NoDeliveries = true
	c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodGet {
			t.Errorf("there is a %s request", r.Method)
		}
		next.ServeHTTP(w, r)
	})
	r := c.run()
	r.expect(t, nil, nil)
	if got, want := r.with(Skipped), slices.Concat([]string{Config}, deliveryChecks, []string{Deauthorize, Deletion}); !slices.Equal(got, want) {
		t.Errorf("skipped %q, want %q", got, want)
	}
}

// TestBaseFails checks that nothing is said about what depends on a fault.
func TestBaseFails(t *testing.T) {
	t.Parallel()
	for check, harm := range map[string]func(*fixture){
		TLS:              func(c *fixture) { c.tls = nil },
		CertificateChain: func(c *fixture) { c.tls = present((*issuer)(nil).server(c.t, nil)) },
		HTTP:             hangUp(func(*http.Request) bool { return true }),
		Redirect:         always(http.StatusPermanentRedirect),
	} {
		c := newFixture(t)
		harm(c)
		posted := false
		c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			posted = posted || r.Method != http.MethodGet || strings.Contains(r.RequestURI, verifyToken)
			next.ServeHTTP(w, r)
		})
		r := c.run()
		r.expect(t, []string{check}, nil)
		for _, name := range outside[slices.Index(outside, check)+1:] {
			if f := r.find(t, name); f.Status != Skipped {
				t.Errorf("%s fails, and %s is %s", check, name, f.Status)
			}
		}
		if posted {
			t.Errorf("%s fails, and secrets or deliveries were sent", check)
		}
	}
}

func TestFacebookLogin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		harm             func(c *fixture)
		faults, warnings []string
	}{
		"right":               {func(c *fixture) {}, nil, nil},
		"field missing":       {func(c *fixture) { c.Fields = []string{"feed"} }, []string{Subscription}, nil},
		"app that is another": {func(c *fixture) { c.App, c.Fields = "777", []string{"feed"} }, nil, nil},
		"token ends": {func(c *fixture) {
			state := c.meta.State()
			state.Tokens[1].Expires = time.Now().Add(48 * time.Hour)
			c.Graph.HTTP = graphtest.New(state).Client()
		}, nil, []string{Token}},
		"app unknown": {func(c *fixture) { c.meta.Fail(graphtest.Fault{Path: "/debug_token"}) }, nil, []string{Token, Subscription}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFixture(t)
			c.Graph.Login, c.Graph.Token, c.Account = graph.FacebookLogin, pageToken, ""
			test.harm(c)
			c.run().expect(t, test.faults, test.warnings)
		})
	}
}
