package httpapi

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/petal-ml/petal/internal/httpapi/native"
)

// LimitConnections returns a listener for the server that keeps at most so many
// connections of another one over TCP. For one more, that which waits longest for a
// request is closed; where none waits, the new one does.
func LimitConnections(l net.Listener, server *http.Server, limit int) net.Listener {
	c := &connections{Listener: l, limit: limit, all: map[*connection]struct{}{}, room: make(chan struct{}, 1), closed: make(chan struct{})}
	server.ConnState = c.state
	return c
}

// connections are those that are open.
type connections struct {
	net.Listener
	limit int

	mu      sync.Mutex
	all     map[*connection]struct{}
	waiting atomic.Bool   // a new one, for room
	room    chan struct{} // there may be some
	once    sync.Once
	closed  chan struct{}
}

// A connection is one over TCP.
type connection struct {
	*net.TCPConn
	of *connections
	// idle is since when it waits for a request, in Unix nanoseconds; 0 while it
	// has one.
	idle atomic.Int64
}

// Accept waits for a connection, and for room for it.
func (c *connections) Accept() (net.Conn, error) {
	accepted, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := &connection{TCPConn: accepted.(*net.TCPConn), of: c} //nolint:forcetypeassert // a listener over TCP accepts no other
	for !c.add(conn) {
		select {
		case <-c.room:
		case <-c.closed:
			_ = conn.TCPConn.Close()
			return nil, net.ErrClosed
		}
	}
	return conn, nil
}

// add takes a connection in, in the place of an idle one where there is no room.
func (c *connections) add(conn *connection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= c.limit {
		c.waiting.Store(true)
		oldest := c.longestIdle()
		if oldest == nil {
			return false
		}
		delete(c.all, oldest)
		_ = oldest.TCPConn.Close()
	}
	c.waiting.Store(false)
	conn.idle.Store(time.Now().UnixNano())
	c.all[conn] = struct{}{}
	return true
}

func (c *connections) longestIdle() (oldest *connection) {
	var since int64
	for conn := range c.all {
		if idle := conn.idle.Load(); idle != 0 && (oldest == nil || idle < since) {
			oldest, since = conn, idle
		}
	}
	return oldest
}

// state notes which connections have a request.
func (c *connections) state(nc net.Conn, state http.ConnState) {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	conn, ok := nc.(*connection)
	switch {
	case !ok:
	case state == http.StateActive:
		conn.idle.Store(0)
	case state == http.StateIdle:
		conn.idle.Store(time.Now().UnixNano())
		c.tell()
	}
}

// tell wakes a connection that waits.
func (c *connections) tell() {
	if c.waiting.Load() {
		select {
		case c.room <- struct{}{}:
		default:
		}
	}
}

// Close ends the listener; connections go on.
func (c *connections) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Listener.Close()
}

// Close ends the connection.
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.all, c)
	c.of.mu.Unlock()
	c.of.tell()
	return c.TCPConn.Close()
}

// Write puts an answer of ours in the place of those that net/http writes by itself
// to what is no request: they have none of our headers. Over TLS it sees neither.
func (c *connection) Write(p []byte) (int, error) {
	const status = len("HTTP/1.1 ")
	if len(p) < status+3 || p[status] != '4' && p[status] != '5' || !bytes.HasPrefix(p, []byte("HTTP/1.")) ||
		bytes.Contains(p, []byte("\r\nX-Request-Id: ")) {
		return c.TCPConn.Write(p)
	}
	code, err := strconv.Atoi(string(p[status : status+3]))
	if err != nil {
		return c.TCPConn.Write(p)
	}
	if _, err := c.TCPConn.Write(unreadable(code, bytes.HasSuffix(p, []byte("HTTPS server.\n")))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// unreadable is the whole answer to what could not be read as a request.
func unreadable(status int, plainToTLS bool) []byte {
	details := map[int]string{
		http.StatusExpectationFailed:           "the only Expect that is known here is 100-continue",
		http.StatusRequestHeaderFieldsTooLarge: "the headers are too large",
		http.StatusNotImplemented:              "the only Transfer-Encoding that is known here is chunked",
		http.StatusHTTPVersionNotSupported:     "HTTP/1.1 and HTTP/2 are spoken here",
	}
	detail, known := details[status]
	switch {
	case plainToTLS:
		detail = "HTTPS is spoken here, and this request came without TLS"
	case !known:
		detail = "this is no HTTP request"
	}
	id := rand.Text()
	body, err := json.Marshal(native.NewProblem(status, "malformed-request", detail, id))
	if err != nil { // text and a number always encode
		panic("httpapi: encode problem: " + err.Error())
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nX-Content-Type-Options: nosniff\r\nX-Request-Id: %s\r\n"+
		"Content-Length: %d\r\nConnection: close\r\n\r\n%s", status, http.StatusText(status), id, len(body), body)
}
