package generator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// probeInterval is how often a server is asked whether it is ready.
	probeInterval = 50 * time.Millisecond
	dialTimeout   = 5 * time.Second
	// dialPause is how long a worker waits that found no server.
	dialPause = 10 * time.Millisecond
)

// Servers do the same, and a load is shared between those that are ready, as a
// balancer does: one that says that it stops, gets no more requests.
type Servers struct {
	all  []*server
	next atomic.Uint32
}

type server struct {
	address string
	ready   atomic.Bool
}

// Watch asks the servers at these addresses, such as "127.0.0.1:8000", at
// /ready whether they are, until ctx is done.
func Watch(ctx context.Context, addresses ...string) *Servers {
	s := &Servers{}
	for _, address := range addresses {
		one := &server{address: address}
		s.all = append(s.all, one)
		one.probe(ctx)
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(probeInterval):
					one.probe(ctx)
				}
			}
		}()
	}
	return s
}

func (s *server) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/ready", http.NoBody)
	if err != nil {
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.ready.Store(ctx.Err() != nil && s.ready.Load()) // slow under load is not gone
		return
	}
	_ = response.Body.Close()
	s.ready.Store(response.StatusCode == http.StatusOK)
}

// dial connects to the server whose turn it is, or where that refuses
// connections, to the next one. Nothing has been sent then.
func (s *Servers) dial() (*connection, error) {
	for range s.all {
		one := s.all[int(s.next.Add(1))%len(s.all)]
		if !one.ready.Load() {
			continue
		}
		conn, err := net.DialTimeout("tcp", one.address, dialTimeout)
		if errors.Is(err, syscall.ECONNREFUSED) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		return &connection{server: one, conn: conn, reader: bufio.NewReaderSize(conn, 4096)}, nil
	}
	return nil, errNoServer
}
