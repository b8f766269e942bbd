package mlflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/mlmodel"
)

// An Artifact is a stored file.
type Artifact struct {
	Path string // slash-separated, relative to the place that was listed
	Size int64
}

// artifactPath is where the server proxies files, below /api/2.0/.
const artifactPath = "mlflow-artifacts/artifacts"

// What a listing may yield, and how deep its folders may nest.
const (
	maxArtifacts = 100_000
	maxDepth     = 32
)

// Proxied reports whether files under the URI go through the server. Those of
// other stores, such as s3:// without --serve-artifacts, do not.
func Proxied(uri string) bool {
	_, err := proxyPath(uri)
	return err == nil
}

// ListArtifacts lists all files below a mlflow-artifacts: URI, sorted by path.
// A directory that does not exist has none: the server cannot tell.
func (c *Client) ListArtifacts(ctx context.Context, uri string) ([]Artifact, error) {
	root, err := proxyPath(uri)
	if err != nil {
		return nil, err
	}
	return c.walk(ctx, func(dir string) ([]fileInfo, error) {
		return c.list(ctx, artifactPath, url.Values{"path": {path.Join(root, dir)}})
	})
}

// ListModelArtifacts lists the files of a logged model wherever they are
// stored: the server looks itself.
func (c *Client) ListModelArtifacts(ctx context.Context, modelID string) ([]Artifact, error) {
	if err := invalid(checkModelID(modelID)); err != nil {
		return nil, err
	}
	return c.walk(ctx, func(dir string) ([]fileInfo, error) {
		query := url.Values{}
		if dir != "" {
			query.Set("artifact_directory_path", dir)
		}
		return c.list(ctx, "mlflow/logged-models/"+modelID+"/artifacts/directories", query)
	})
}

// ListRunArtifacts lists the files below a folder of a run, wherever they are
// stored.
func (c *Client) ListRunArtifacts(ctx context.Context, run, folder string) ([]Artifact, error) {
	return c.walk(ctx, func(dir string) ([]fileInfo, error) {
		return c.list(ctx, "mlflow/artifacts/list", url.Values{"run_id": {run}, "path": {path.Join(folder, dir)}})
	})
}

// OpenArtifact streams a file below a mlflow-artifacts: URI. The context
// bounds the whole transfer; how much to read is up to the caller, who closes
// the body. The size is -1 when the server does not tell.
func (c *Client) OpenArtifact(ctx context.Context, uri, name string) (body io.ReadCloser, size int64, err error) {
	target, err := c.artifactURL(uri, name)
	if err != nil {
		return nil, 0, err
	}
	return c.stream(ctx, "GET artifact "+name, target)
}

// OpenVersionArtifact streams a file of a model version wherever it is stored.
func (c *Client) OpenVersionArtifact(ctx context.Context, model, version, name string) (body io.ReadCloser, size int64, err error) {
	if err := mlmodel.CheckPath(name); err != nil {
		return nil, 0, invalid(err)
	}
	target := c.base
	target.Path += "/model-versions/get-artifact"
	target.RawQuery = url.Values{"name": {model}, "version": {version}, "path": {name}}.Encode()
	return c.stream(ctx, "GET artifact "+name, target.String())
}

// PutArtifact stores a file below a mlflow-artifacts: URI.
func (c *Client) PutArtifact(ctx context.Context, uri, name string, content []byte) error {
	target, err := c.artifactURL(uri, name)
	if err != nil {
		return err
	}
	if content == nil {
		content = []byte{}
	}
	call := "PUT artifact " + name
	return c.retry(ctx, call, true, func() error {
		resp, err := c.send(ctx, call, http.MethodPut, target, "application/octet-stream", content)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}

func (c *Client) stream(ctx context.Context, call, target string) (io.ReadCloser, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var resp *http.Response
	err := c.retry(ctx, call, true, func() (err error) {
		resp, err = c.send(ctx, call, http.MethodGet, target, "", nil) //nolint:bodyclose // the caller of stream closes it
		return err
	})
	if err != nil {
		cancel(nil)
		return nil, 0, err
	}
	slow := &Error{
		Kind: Unavailable, Server: c.Server(), Call: call,
		Message: fmt.Sprintf("fewer than %d bytes came in %s", leastProgress, c.timeout),
	}
	return &progressing{
		ReadCloser: resp.Body, ctx: ctx, cancel: cancel, every: c.timeout,
		timer: time.AfterFunc(c.timeout, func() { cancel(slow) }),
	}, resp.ContentLength, nil
}

// leastProgress is how many bytes of a file must come within the client's
// timeout. A server that drips would hold its reader for days.
const leastProgress = 32 << 10

// A progressing body ends with an error when too little of it comes.
type progressing struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	every  time.Duration
	came   int // bytes since the timer was set
}

// Read is one of [io.Reader].
func (p *progressing) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if p.came += n; p.came >= leastProgress {
		p.came = 0
		p.timer.Reset(p.every)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(p.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

// Close drops the rest.
func (p *progressing) Close() error {
	p.timer.Stop()
	p.cancel(nil)
	return p.ReadCloser.Close()
}

// fileInfo is one entry of a listing. The proxy gives base names, the other
// listings whole paths.
type fileInfo struct {
	Path  string `json:"path"`
	IsDir bool   `json:"is_dir"`
	Size  number `json:"file_size"`
}

func (c *Client) walk(ctx context.Context, list func(dir string) ([]fileInfo, error)) ([]Artifact, error) {
	var found []Artifact
	for pending := []string{""}; len(pending) > 0; {
		dir := pending[0]
		pending = pending[1:]
		files, err := list(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			name := path.Join(dir, path.Base(f.Path))
			if err := mlmodel.CheckPath(name); err != nil {
				return nil, &Error{Kind: Unavailable, Message: "the server lists a file that cannot be", Err: err}
			}
			if strings.Count(name, "/") > maxDepth {
				return nil, &Error{Kind: Unavailable, Message: fmt.Sprintf("the server lists folders more than %d deep", maxDepth)}
			}
			if f.IsDir {
				pending = append(pending, name)
			} else {
				found = append(found, Artifact{Path: name, Size: int64(f.Size)})
			}
		}
		if len(found)+len(pending) > maxArtifacts {
			return nil, invalidf("more than %d files", maxArtifacts)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b Artifact) int { return strings.Compare(a.Path, b.Path) })
	return found, nil
}

func (c *Client) list(ctx context.Context, endpoint string, query url.Values) ([]fileInfo, error) {
	var answer struct {
		Files []fileInfo `json:"files"`
	}
	err := c.get(ctx, endpoint, query, &answer)
	return answer.Files, err
}

func (c *Client) artifactURL(uri, name string) (string, error) {
	root, err := proxyPath(uri)
	if err != nil {
		return "", err
	}
	if err := mlmodel.CheckPath(name); err != nil {
		return "", invalid(err)
	}
	segments := strings.Split(path.Join(root, name), "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return c.base.String() + apiRoot + artifactPath + "/" + strings.Join(segments, "/"), nil
}

// proxyPath turns mlflow-artifacts:/1/models/m-…/artifacts, and the form with
// a host, into the path below the proxy's root.
func proxyPath(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "mlflow-artifacts" {
		return "", invalidf("files at %q are not reached through the MLflow server: start it with --serve-artifacts", redact(uri))
	}
	p := strings.Trim(u.Path, "/")
	if err := mlmodel.CheckPath(p); err != nil {
		return "", invalidf("artifact URI: %v", err)
	}
	return p, nil
}

// redact hides a password in a URI.
func redact(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return fmt.Sprintf("%.12s…", uri)
	}
	return u.Redacted()
}
