//go:build soak

package soak

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/petal-ml/petal/tests/load/generator"
)

// Two thousand connections send their headers or bodies a byte at a time. Who
// asks properly must not notice.
func TestSlowClients(t *testing.T) {
	const attackers, rate = 2000, 1000
	petal := install(t)
	petal.Train()
	api := petal.StartAPI()
	api.Login(password)
	load := predictions(generator.Watch(t.Context(), address(api)), api.Token())
	load.Connections = 16
	before := run(t.Context(), load, rate, 5*time.Second)

	attack, end := context.WithCancel(t.Context())
	defer end()
	var attacking sync.WaitGroup
	var open, most, closed atomic.Int64
	for i := range attackers {
		slow := "POST /predict HTTP/1.1\r\nHost: localhost\r\nX-Padding: "
		if i%2 == 1 {
			slow = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer " + api.Token() +
				"\r\nContent-Length: 1000\r\n\r\n{"
		}
		attacking.Go(func() {
			for attack.Err() == nil {
				conn, err := net.Dial("tcp", address(api))
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				n := open.Add(1)
				for high := most.Load(); n > high && !most.CompareAndSwap(high, n); high = most.Load() {
				}
				dribble(attack, conn, slow)
				_ = conn.Close()
				open.Add(-1)
				closed.Add(1)
			}
		})
	}
	time.Sleep(2 * time.Second) // all of them are there
	during := run(t.Context(), load, rate, 20*time.Second)
	memory := api.Process.ResidentMiB()
	ended := closed.Load()
	end()
	attacking.Wait()
	t.Logf("before: %v", before)
	t.Logf("during: %v; %d slow connections at once, %d were ended by the server, %.0f MiB resident", during, most.Load(), ended, memory)
	assert.GreaterOrEqual(t, most.Load(), int64(attackers*9/10))
	assert.Greater(t, ended, int64(attackers), "the server ends them")
	assert.Zero(t, during.Lost(), "%v", during.Failure)
	assert.Less(t, during.FromDue.Quantile(.99), 2*before.FromDue.Quantile(.99)+50*time.Millisecond)
	assert.Less(t, memory, 256.0)
}

// dribble sends a byte every second until the other side has enough.
func dribble(ctx context.Context, conn net.Conn, start string) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 512)
		for {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
		}
	}()
	if _, err := conn.Write([]byte(start)); err != nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-time.After(time.Second):
			if _, err := conn.Write([]byte(" ")); err != nil {
				return
			}
		}
	}
}
