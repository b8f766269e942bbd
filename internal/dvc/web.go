package dvc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// errTransient marks failures that another try may be spared: of the connection,
// and of the server's own.
var errTransient = errors.New("failed on the way")

// What comes from a server has to get on: in each while at least so many bytes, some
// 4 KiB a second. The while is DVC's own default for a server that says nothing.
const (
	progressTime  = time.Minute
	progressBytes = 256 << 10
)

// web is a remote behind HTTP(S).
type web struct {
	name   string // in messages
	base   *url.URL
	header http.Header // credentials
	client *http.Client
	idle   time.Duration // progressTime; tests have less
}

// newWeb makes a remote of DVC's keys for HTTP. An error of it is a fault of the
// configuration and names the key; it repeats no secret.
func newWeb(name, location string, keys map[string]string) (*web, error) {
	base, err := url.Parse(location)
	if err != nil || base.Host == "" {
		return nil, errors.New("its url is not of the form http(s)://host/path")
	}
	header := http.Header{}
	switch auth := strings.ToLower(keys["auth"]); auth {
	case "":
	case "basic":
		if keys["user"] == "" {
			return nil, errors.New("auth = basic needs user and password")
		}
		request := http.Request{Header: header}
		request.SetBasicAuth(keys["user"], keys["password"])
	case "custom":
		if keys["custom_auth_header"] == "" {
			return nil, errors.New("auth = custom needs custom_auth_header and password")
		}
		header.Set(keys["custom_auth_header"], keys["password"])
	default:
		return nil, fmt.Errorf("auth %q is neither basic nor custom", auth)
	}
	w := &web{name: name, base: base, header: header, idle: progressTime}
	w.client = &http.Client{CheckRedirect: w.redirect}
	return w, nil
}

// redirect takes the credentials off a request to another host. The client does
// that for the headers that it knows.
func (w *web) redirect(request *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	if request.URL.Host != w.base.Host || request.URL.Scheme != w.base.Scheme {
		for name := range w.header {
			request.Header.Del(name)
		}
	}
	return nil
}

// Open asks for the object. Failures that may pass are [errTransient], those of
// the stream too.
func (w *web) Open(ctx context.Context, md5 string) (io.ReadCloser, error) {
	body := newStream(ctx, w.idle)
	request, err := http.NewRequestWithContext(body.ctx, http.MethodGet, w.base.JoinPath("files", "md5", md5[:2], md5[2:]).String(), nil)
	if err != nil {
		body.cancel(nil)
		return nil, fmt.Errorf("%s: %w", w, err)
	}
	request.Header = w.header.Clone()
	answer, err := w.client.Do(request) //nolint:bodyclose // the stream closes it
	if err != nil {
		err = body.failure(err)
		body.cancel(nil)
		return nil, fmt.Errorf("%s: %w", w, err)
	}
	body.ReadCloser = answer.Body
	if answer.StatusCode == http.StatusOK {
		return body, nil
	}
	_ = body.Close() // nothing of it is wanted
	err = fmt.Errorf("the server answers %s", answer.Status)
	switch {
	case answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusGone:
		err = os.ErrNotExist
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusRequestTimeout:
		err = &transient{err}
	}
	return nil, fmt.Errorf("%s: %w", w, err)
}

func (w *web) String() string {
	return fmt.Sprintf("%s (%s)", w.name, (&url.URL{Scheme: w.base.Scheme, Host: w.base.Host, Path: w.base.Path}).String())
}

// stream is an object on its way from a server. It fails when too little comes.
type stream struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // that of the request
	cancel context.CancelCauseFunc
	late   *time.Timer
	idle   time.Duration
	came   atomic.Int64 // bytes since the timer was set
}

// newStream starts the time within which the first bytes have to come.
func newStream(ctx context.Context, idle time.Duration) *stream {
	s := &stream{idle: idle}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.late = time.AfterFunc(idle, func() {
		if came := s.came.Load(); came > 0 {
			s.cancel(fmt.Errorf("only %d bytes came within %s", came, idle))
			return
		}
		s.cancel(fmt.Errorf("nothing came for %s", idle))
	})
	return s
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if s.came.Add(int64(n)) >= progressBytes {
		s.came.Store(0)
		s.late.Reset(s.idle)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.failure(err)
	}
	return n, err
}

func (s *stream) Close() error {
	s.late.Stop()
	defer s.cancel(nil)
	return s.ReadCloser.Close()
}

// failure is what a connection failed with, without the address that [url.Error]
// repeats: it may hold a password.
func (s *stream) failure(err error) error {
	s.late.Stop()
	if address := (*url.Error)(nil); errors.As(err, &address) {
		err = address.Err
	}
	if cause := context.Cause(s.ctx); cause != nil && errors.Is(err, context.Canceled) {
		err = cause
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &transient{err}
}

// transient is an error that is [errTransient] and does not say so twice.
type transient struct{ error }

func (t *transient) Unwrap() []error { return []error{t.error, errTransient} }

// tries is how often an object is asked for.
const tries = 4

// persist tries again what failed on the way, after a growing while.
func persist[T any](ctx context.Context, pause time.Duration, try func() (T, error)) (T, error) {
	growing := backoff.NewExponentialBackOff()
	growing.InitialInterval = pause
	return backoff.Retry(ctx, func() (T, error) {
		result, err := try()
		if err != nil && !errors.Is(err, errTransient) {
			err = backoff.Permanent(err)
		}
		return result, err
	}, backoff.WithBackOff(growing), backoff.WithMaxTries(tries), backoff.WithMaxElapsedTime(0))
}
