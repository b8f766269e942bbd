package dvc

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Endpoint is Amazon's own, where nothing names another.
const s3Endpoint = "https://s3.amazonaws.com"

// bucket is a remote in S3, or in a server that speaks its protocol. The client
// repeats what failed on the way and what the server answers with 5xx.
type bucket struct {
	name   string // in messages
	client *minio.Client
	bucket string
	prefix string
	idle   time.Duration // progressTime; tests have less
}

// newBucket makes a remote of DVC's keys for S3. An error of it is a fault of the
// configuration and names the key.
func newBucket(name, location string, keys map[string]string, getenv func(string) string) (*bucket, error) {
	at, err := url.Parse(location)
	if err != nil || at.Host == "" {
		return nil, fmt.Errorf("url %q is not of the form s3://bucket/path", location)
	}
	address := cmp.Or(keys["endpointurl"], getenv("AWS_ENDPOINT_URL_S3"), getenv("AWS_ENDPOINT_URL"), s3Endpoint)
	endpoint, err := url.Parse(address)
	if err != nil || endpoint.Host == "" {
		return nil, fmt.Errorf("endpointurl %q is not an http(s) address", address)
	}
	secure := endpoint.Scheme == "https"
	if text := keys["use_ssl"]; text != "" {
		if secure, err = strconv.ParseBool(strings.ToLower(text)); err != nil {
			return nil, fmt.Errorf("use_ssl %q is neither true nor false", text)
		}
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:  bucketCredentials(keys, getenv),
		Secure: secure,
		Region: cmp.Or(keys["region"], getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION")),
	})
	if err != nil {
		return nil, fmt.Errorf("endpointurl %q: %w", endpoint, err)
	}
	return &bucket{name: name, client: client, bucket: at.Host, prefix: strings.Trim(at.Path, "/"), idle: progressTime}, nil
}

// bucketCredentials takes, in DVC's order, those of the remote, of the environment,
// of the user's AWS files, and of the machine.
func bucketCredentials(keys map[string]string, getenv func(string) string) *credentials.Credentials {
	if strings.EqualFold(keys["allow_anonymous_login"], "true") {
		return credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
	}
	if id := keys["access_key_id"]; id != "" {
		return credentials.NewStaticV4(id, keys["secret_access_key"], keys["session_token"])
	}
	if profile := keys["profile"]; profile != "" {
		return credentials.NewFileAWSCredentials("", profile)
	}
	if id := getenv("AWS_ACCESS_KEY_ID"); id != "" {
		return credentials.NewStaticV4(id, getenv("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN"))
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.FileAWSCredentials{Profile: getenv("AWS_PROFILE")},
		&credentials.IAM{Client: http.DefaultClient},
	})
}

// Open opens the object as a stream.
func (b *bucket) Open(ctx context.Context, md5 string) (io.ReadCloser, error) {
	key := path.Join(b.prefix, "files", "md5", md5[:2], md5[2:])
	body := newStream(ctx, b.idle)
	object, err := b.client.GetObject(body.ctx, b.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		body.cancel(nil)
		return nil, fmt.Errorf("%s: %w", b, err)
	}
	body.ReadCloser = object
	// GetObject asks for nothing yet: this tells whether the object is there.
	if _, err := object.Stat(); err != nil {
		switch {
		case minio.ToErrorResponse(err).Code == minio.NoSuchKey:
			err = os.ErrNotExist
		case body.ctx.Err() != nil && ctx.Err() == nil:
			err = &transient{context.Cause(body.ctx)} // why it was given up
		}
		_ = body.Close() // nothing was read
		return nil, fmt.Errorf("%s: %w", b, err)
	}
	return body, nil
}

func (b *bucket) String() string {
	return fmt.Sprintf("%s (s3://%s)", b.name, path.Join(b.bucket, b.prefix))
}
