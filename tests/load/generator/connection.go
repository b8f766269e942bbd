package generator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// requestTimeout bounds one request with its answer.
const requestTimeout = 30 * time.Second

// Request writes a POST request as it goes over the wire. Headers are lines such
// as "Content-Type: application/json".
func Request(path string, body []byte, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", path, len(body))
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// A connection is one to a server that is kept between requests.
type connection struct {
	server *server
	conn   net.Conn
	reader *bufio.Reader
	body   []byte // of the last answer
}

// An answer is what matters of one.
type answer struct {
	status     int
	closes     bool // the connection ends with it
	retryAfter bool
	body       []byte // valid until the next request
}

var errNoLength = errors.New("the answer has no Content-Length")

func (c *connection) roundTrip(request []byte) (answer, error) {
	var a answer
	_ = c.conn.SetDeadline(time.Now().Add(requestTimeout))
	if _, err := c.conn.Write(request); err != nil {
		return a, fmt.Errorf("send: %w", err)
	}
	length, err := c.readHead(&a)
	if err != nil {
		return a, fmt.Errorf("read the answer: %w", err)
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	a.body = c.body[:length]
	if _, err := io.ReadFull(c.reader, a.body); err != nil {
		return a, fmt.Errorf("read the answer's body: %w", err)
	}
	return a, nil
}

// readHead reads up to the body and returns the body's length.
func (c *connection) readHead(a *answer) (length int, err error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("a status line is expected, not %q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("a status line is expected, not %q", line)
	}
	length = -1
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		key, value, more := bytes.Cut(line, []byte(": "))
		if !more {
			break
		}
		switch {
		case bytes.EqualFold(key, []byte("content-length")):
			if length, err = strconv.Atoi(strings.TrimSpace(string(value))); err != nil {
				return 0, err
			}
		case bytes.EqualFold(key, []byte("connection")):
			a.closes = bytes.Contains(value, []byte("close"))
		case bytes.EqualFold(key, []byte("retry-after")):
			a.retryAfter = true
		}
	}
	if length < 0 {
		return 0, errNoLength
	}
	return length, nil
}
