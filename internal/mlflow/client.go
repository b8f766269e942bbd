package mlflow

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	apiRoot = "/api/2.0/"

	defaultRetryFor = 30 * time.Second
	defaultTimeout  = 30 * time.Second
	maxAnswer       = 8 << 20 // bytes of one JSON answer, which makes ten times as many
)

// Options say where the server is and how patient to be with it.
type Options struct {
	// TrackingURI is the http or https address of the server; a path is kept.
	// A user and password in it go into the Authorization header.
	TrackingURI string
	Credentials Credentials
	// RootCAs are the authorities that a certificate of the server must come
	// from; nil for those that the system trusts.
	RootCAs *x509.CertPool
	// RetryFor bounds the time that one call may spend on retries, the first
	// attempt not counted; 30 s when zero, no retries when negative.
	RetryFor time.Duration
	// Timeout bounds one attempt of a call, and for files the wait for the
	// answer's head; 30 s when zero.
	Timeout time.Duration
	Logger  *slog.Logger
}

// Credentials are a user's name and password, or a token.
type Credentials struct {
	Username, Password string
	Token              string
}

// LogValue keeps the credentials out of logs.
func (Credentials) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// A Client calls one MLflow server. It is safe for concurrent use.
type Client struct {
	base          url.URL // without user and password
	authorization string
	http          *http.Client
	retryFor      time.Duration
	timeout       time.Duration
	log           *slog.Logger
}

// NewClient checks the options. It does not call the server.
func NewClient(o Options) (*Client, error) {
	base, err := url.Parse(o.TrackingURI)
	if err != nil {
		// The parser's message would repeat the address, password and all.
		return nil, errors.New("the MLflow tracking URI is not a valid URL: write it as http://host:port")
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("the MLflow tracking URI %q must begin with http:// or https:// and name a host", base.Redacted())
	}
	c := &Client{
		authorization: authorization(base.User, o.Credentials),
		retryFor:      o.RetryFor,
		timeout:       o.Timeout,
		log:           o.Logger,
	}
	if c.retryFor == 0 {
		c.retryFor = defaultRetryFor
	}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.base = url.URL{Scheme: base.Scheme, Host: base.Host, Path: strings.TrimRight(base.Path, "/")}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = c.timeout
	if o.RootCAs != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: c.redirect}
	return c, nil
}

// Server is the server's address without credentials.
func (c *Client) Server() string { return c.base.String() }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// authorization follows MLflow's precedence: the address, then user and
// password, then the token.
func authorization(user *url.Userinfo, cred Credentials) string {
	var req http.Request
	req.Header = http.Header{}
	password, _ := user.Password()
	switch {
	case user.Username() != "":
		req.SetBasicAuth(user.Username(), password)
	case cred.Username != "" && cred.Password != "":
		req.SetBasicAuth(cred.Username, cred.Password)
	case cred.Token != "":
		req.Header.Set("Authorization", "Bearer "+cred.Token)
	}
	return req.Header.Get("Authorization")
}

// redirect keeps a POST from turning into a GET on its way, which is what HTTP
// clients do on 301 and 302, and takes the credentials off a request to another
// scheme, host or port: the client itself does so for another host alone.
func (c *Client) redirect(req *http.Request, via []*http.Request) error {
	if via[0].Method != http.MethodGet {
		return fmt.Errorf("redirected to %s: use that address as MLFLOW_TRACKING_URI", req.URL.Redacted())
	}
	if len(via) > 5 {
		return errors.New("redirected more than 5 times")
	}
	if req.URL.Scheme != c.base.Scheme || req.URL.Host != c.base.Host {
		req.Header.Del("Authorization")
	}
	return nil
}

// maxVersion bounds the answer of /version, in bytes.
const maxVersion = 64

// Version is the version of MLflow that the server runs, such as "3.17.2"; empty
// where it does not tell one.
func (c *Client) Version(ctx context.Context) (string, error) {
	body, _, err := c.stream(ctx, "GET version", c.base.String()+"/version")
	if err != nil {
		return "", err
	}
	defer func() { _ = body.Close() }()
	text, err := io.ReadAll(io.LimitReader(body, maxVersion))
	if err != nil {
		return "", &Error{Kind: Unavailable, Server: c.Server(), Call: "GET version", Err: err}
	}
	return versionText.FindString(string(text)), nil
}

var versionText = regexp.MustCompile(`^[0-9]+(\.[0-9a-z]+)+`)

// A call is one REST call.
type call struct {
	method string
	path   string // below /api/2.0/
	query  url.Values
	body   any
	out    any
	// repeatable calls have the same effect when made twice, and are retried
	// after any fault of the server or the network. Others are only retried
	// when they cannot have been carried out.
	repeatable bool
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.do(ctx, call{method: http.MethodGet, path: path, query: query, out: out, repeatable: true})
}

// post makes a call that may be repeated.
func (c *Client) post(ctx context.Context, path string, body, out any) error {
	return c.do(ctx, call{method: http.MethodPost, path: path, body: body, out: out, repeatable: true})
}

// create makes a call that must not be repeated: each makes a new thing.
func (c *Client) create(ctx context.Context, path string, body, out any) error {
	return c.do(ctx, call{method: http.MethodPost, path: path, body: body, out: out})
}

func (c *Client) do(ctx context.Context, k call) error {
	var body []byte
	if k.body != nil {
		var err error
		if body, err = json.Marshal(k.body); err != nil {
			return fmt.Errorf("%s %s: encode: %w", k.method, k.path, err)
		}
	}
	name := k.method + " " + k.path
	return c.retry(ctx, name, k.repeatable, func() error {
		attempt, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		target := c.base
		target.Path += apiRoot + k.path
		target.RawQuery = k.query.Encode()
		resp, err := c.send(attempt, name, k.method, target.String(), "application/json", body)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
		switch {
		case err != nil:
			return &Error{Kind: Unavailable, Message: "read the answer", Err: err}
		case len(data) > maxAnswer:
			return &Error{Kind: Unavailable, Message: fmt.Sprintf("the answer is larger than %d bytes", maxAnswer)}
		case k.out == nil:
			return nil
		}
		if err := json.Unmarshal(data, k.out); err != nil {
			return &Error{Kind: Unavailable, Message: "the answer is not MLflow's (is MLFLOW_TRACKING_URI the address of an MLflow server?)", Err: err}
		}
		return nil
	})
}

// send makes one attempt. It returns the answer when its status is 200; the
// caller closes its body.
func (c *Client) send(ctx context.Context, name, method, target, contentType string, body []byte) (*http.Response, error) {
	var reader io.Reader = http.NoBody
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return nil, &Error{Kind: Invalid, Err: err}
	}
	req.Header.Set("Accept", "application/json, */*")
	req.Header.Set("User-Agent", "petal")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.authorization != "" {
		req.Header.Set("Authorization", c.authorization)
	}
	start := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the address is named already
		}
		return nil, &Error{Kind: Unavailable, Err: err}
	}
	c.log.DebugContext(ctx, "mlflow call", "call", name, "status", resp.StatusCode, "duration", time.Since(start))
	if resp.StatusCode != http.StatusOK {
		defer func() { _ = resp.Body.Close() }()
		return nil, answerError(resp)
	}
	return resp, nil
}

// retry runs the attempt until it succeeds, fails for good, or the time is
// over. Every error that leaves it names the server and the call.
func (c *Client) retry(ctx context.Context, name string, repeatable bool, attempt func() error) error {
	var last error
	operation := func() (struct{}, error) {
		last = attempt()
		if last != nil && (c.retryFor < 0 || !retryable(last, repeatable)) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval = 200 * time.Millisecond
	pace.Multiplier = 2
	pace.MaxInterval = 5 * time.Second
	_, err := backoff.Retry(ctx, operation,
		backoff.WithBackOff(pace),
		backoff.WithMaxElapsedTime(max(c.retryFor, 0)),
		backoff.WithNotify(func(err error, wait time.Duration) {
			c.log.WarnContext(ctx, "MLflow call failed, will try again", "call", name, "seconds", wait.Seconds(), "error", err)
		}))
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		// Whoever cancelled wants to see that; why it took so long is a detail.
		e := &Error{Kind: Unavailable, Server: c.Server(), Call: name, Err: cause}
		var failed *Error
		if errors.As(last, &failed) && !errors.Is(last, context.Canceled) && !errors.Is(last, context.DeadlineExceeded) {
			e.Message = "gave up after " + failed.Error()
		}
		return e
	}
	var e *Error
	if errors.As(err, &e) {
		e.Server, e.Call = c.Server(), name
	}
	return err
}

// retryable reports whether another attempt can help and does no harm.
func retryable(err error, repeatable bool) bool {
	var e *Error
	if !errors.As(err, &e) || e.Kind != Unavailable || e.Status == http.StatusNotFound {
		return false
	}
	if repeatable {
		return true
	}
	if e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests {
		return true
	}
	// Nothing was sent when not even a connection came about.
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
