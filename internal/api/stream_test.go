package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/api"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// listen opens a stream of changes and returns the names of its events; the
// channel is closed with the stream.
func (d *deployment) listen(ctx context.Context) <-chan string {
	d.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", d.url+"/v1/license/stream", nil)
	d.check(err)
	req.Header.Set("Authorization", "License "+d.key)
	answer, err := d.client.Do(req)
	d.check(err)
	if answer.StatusCode != http.StatusOK {
		d.t.Fatalf("status %d", answer.StatusCode)
	}
	heard := make(chan string, 16)
	go func() {
		defer close(heard)
		defer answer.Body.Close()
		lines := bufio.NewScanner(answer.Body)
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				heard <- name
			}
		}
	}()
	return heard
}

// patience is how long a test waits for what has to happen; the machine may be busy.
const patience = 5 * time.Minute

// next returns the next event except pings, which are sent every 20 seconds.
func next(t *testing.T, heard <-chan string) string {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case e, open := <-heard:
			if !open {
				t.Fatal("the stream has ended")
			}
			if e != "ping" {
				return e
			}
		case <-limit:
			t.Fatalf("nothing was heard for %v", patience)
		}
	}
}

// A plan that is applied to many licenses is heard on the stream of each, exactly once, although the
// server looks for the changes of other servers meanwhile.
func TestAPlanIsHeardOnEveryStreamOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const streams = 200
		d := newDeployment(t, db, everyModel)
		customer, err := d.authority.CreateCustomer(t.Context(), d.owner, licensing.Customer{Name: "Many"})
		d.check(err)
		requests := make([]v1.IssueRequest, streams)
		for i := range requests {
			requests[i] = v1.IssueRequest{Customer: customer.ID, Plan: "studio"}
		}
		issued, err := d.authority.IssueLicenses(t.Context(), d.owner, requests)
		d.check(err)
		one := d.license
		heard := make([]<-chan string, streams)
		for i, l := range issued {
			d.key = l.Key.Text
			heard[i] = d.listen(t.Context())
		}
		looking, stop := context.WithCancel(t.Context())
		looked := make(chan struct{})
		go func() {
			defer close(looked)
			for looking.Err() == nil {
				if err := d.authority.LookForChanges(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}()
		more := strings.Replace(everyModel, "max_layers: 50", "max_layers: 60", 1)
		_, err = d.authority.ApplyPlans(t.Context(), d.owner, v1.ApplyRequest{Files: []policy.File{{Name: "studio.yaml", Text: more}}, Licenses: "all"})
		d.check(err)
		for i := range heard {
			if e := next(t, heard[i]); e != "license" {
				t.Fatalf("stream %d: %s", i, e)
			}
		}
		stop()
		<-looked
		d.check(d.authority.LookForChanges(t.Context()))
		_, err = d.authority.RevokeLicense(t.Context(), d.owner, one, v1.RevokeRequest{Reason: "the last event"})
		d.check(err)
		for i := range heard {
			if e := next(t, heard[i]); e != "revocations" {
				t.Errorf("stream %d: heard %s again", i, e)
			}
		}
	})
}

// pipes is a listener for connections that hold nothing back: what is written waits for its reader.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// However often a license changes while its client does not read, the client hears of it at most
// once more.
func TestChangesAreCombinedWhileAStreamIsSlow(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	listener := make(pipes)
	server := &http.Server{Handler: d.handler, ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	client, conn := net.Pipe()
	defer client.Close()
	listener <- conn
	_, err := fmt.Fprintf(client, "GET /v1/license/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: License %s\r\n\r\n", d.key)
	d.check(err)
	lines := bufio.NewScanner(client)
	event := func() string {
		t.Helper()
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				return name
			}
		}
		t.Fatalf("the stream has ended: %v", lines.Err())
		return ""
	}
	if e := event(); e != "ping" {
		t.Fatalf("the stream begins with %s", e)
	}
	for range 2 {
		_, err := d.authority.SuspendLicense(t.Context(), d.owner, d.license, "")
		d.check(err)
		_, err = d.authority.ReinstateLicense(t.Context(), d.owner, d.license, "")
		d.check(err)
	}
	_, err = d.authority.RevokeLicense(t.Context(), d.owner, d.license, v1.RevokeRequest{Reason: "the last change"})
	d.check(err)
	heard := 0
	for e := ""; e != "revocations"; {
		if e = event(); e == "license" {
			heard++
		}
	}
	if heard > 1 { // with the last change comes another
		t.Errorf("5 changes were heard %d times before the last", heard)
	}
}

// A stream reports changes over each version of HTTP, with and without TLS, and the client can tell
// that it ended as a whole.
func TestAStreamWorksOverEveryProtocol(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1.1": (*httptest.Server).Start, "HTTP/1.1 with TLS": (*httptest.Server).StartTLS,
		"HTTP/2.0": func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, storetest.SQLite(t), everyModel)
			server := httptest.NewUnstartedServer(d.handler)
			start(server)
			t.Cleanup(server.Close)
			req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/v1/license/stream", nil)
			d.check(err)
			req.Header.Set("Authorization", "License "+d.key)
			answer, err := server.Client().Do(req)
			d.check(err)
			defer answer.Body.Close()
			if answer.Proto != strings.TrimSuffix(name, " with TLS") || answer.Header.Get("X-Request-Id") == "" {
				t.Errorf("%s, headers %v", answer.Proto, answer.Header)
			}
			lines, heard := bufio.NewScanner(answer.Body), []string{}
			for lines.Scan() {
				name, ok := strings.CutPrefix(lines.Text(), "event: ")
				if !ok {
					continue
				}
				if heard = append(heard, name); len(heard) == 1 {
					_, err := d.authority.SuspendLicense(t.Context(), d.owner, d.license, "")
					d.check(err)
				} else {
					d.handler.Stop()
				}
			}
			if err := lines.Err(); err != nil || !slices.Equal(heard, []string{"ping", "license"}) {
				t.Errorf("heard %v, then %v", heard, err)
			}
		})
	}
}

// A client that leaves, or sends what nobody asked for, makes room for the next one.
func TestAStreamEndsWithItsClient(t *testing.T) {
	d := newDeploymentWithin(t, storetest.SQLite(t), everyModel, api.Limits{Held: 1})
	open := func() (client net.Conn) {
		d.until(func() bool {
			conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
			d.check(err)
			_, err = fmt.Fprintf(conn, "GET /v1/license/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: License %s\r\n\r\n", d.key)
			d.check(err)
			status, err := bufio.NewReader(conn).ReadString('\n')
			d.check(err)
			if client = conn; strings.Contains(status, " 200 ") {
				return true
			}
			d.check(conn.Close())
			return false
		})
		return client
	}
	d.check(open().Close())
	sending := open()
	defer sending.Close()
	_, _ = sending.Write(make([]byte, 1<<20)) // the server may cut it
	d.check(open().Close())
}
