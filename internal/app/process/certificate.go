package process

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/petal-ml/petal/internal/regularfile"
)

// maxPEM bounds a file of certificates or of a key, in bytes.
const maxPEM = 1 << 20

// A Certificate is that of a TLS server, in two files. A pair that was changed is
// taken by the next handshake, also where the files are links of which one on the
// way was changed, as Kubernetes does.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu   sync.Mutex
	seen [2]fileStamp
	pair *tls.Certificate
}

// A fileStamp tells one content of a file from another.
type fileStamp struct {
	size    int64
	changed time.Time
}

// OpenCertificate reads a pair of PEM files.
func OpenCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	seen, err := c.stamps()
	if err == nil {
		err = c.load(seen)
	}
	if err != nil {
		return nil, fmt.Errorf("TLS_CERT_FILE, TLS_KEY_FILE: %w", err)
	}
	return c, nil
}

func (c *Certificate) stamps() (stamps [2]fileStamp, err error) {
	for i, path := range []string{c.certFile, c.keyFile} {
		info, statErr := os.Stat(path)
		if err = cmp.Or(err, statErr); statErr == nil {
			stamps[i] = fileStamp{info.Size(), info.ModTime()}
		}
	}
	return stamps, err
}

func (c *Certificate) load(seen [2]fileStamp) error {
	c.seen = seen // what is wrong with these is said once
	certificates, err := regularfile.Read(c.certFile, maxPEM)
	if err != nil {
		return err
	}
	key, err := regularfile.Read(c.keyFile, maxPEM)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certificates, key)
	if err != nil {
		return err
	}
	c.pair = &pair
	return nil
}

// Get is for [tls.Config]. A pair that cannot be used, such as one of which only one
// file was changed yet, is logged, and the one before stays in force.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.stamps()
	if err != nil || seen == c.seen {
		return c.pair, nil // files that are gone are put back by hand; until then the pair stands
	}
	if err := c.load(seen); err != nil {
		c.log.Error("the changed certificate cannot be used; the one before stays in force", slog.Any("error", err))
	} else {
		c.log.Info("the changed certificate is in force", slog.Time("expires", c.pair.Leaf.NotAfter))
	}
	return c.pair, nil
}
