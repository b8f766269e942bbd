package httpapi

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/serving"
)

// fastMaxBytes bounds the bodies that the fast path looks at. One row of a
// hundred columns fits.
const fastMaxBytes = 4096

// ServeHTTP answers a plain POST /predict on a short way, and all else, and all
// that is wrong with one, through the router. The two give the same answers.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && r.URL.Path == predictPath && a.predictFast(w, r) {
		return
	}
	a.router.ServeHTTP(w, r)
}

// A desk is what one fast prediction works with.
type desk struct {
	body   []byte
	row    []float64
	scores []float32
	answer []byte
	ids    []string // request ids that nobody has yet
}

// desks keeps them between requests.
type desks struct{ pool sync.Pool }

func (d *desks) get() *desk {
	if got, ok := d.pool.Get().(*desk); ok {
		return got
	}
	return &desk{body: make([]byte, fastMaxBytes), row: make([]float64, 0, 64), scores: make([]float32, 0, 16), answer: make([]byte, 0, 1024)}
}

// idsAtOnce request ids are made together: randomness and memory for one alone
// would cost as much.
const idsAtOnce = 64

// requestID returns a new id as a header's value. net/http reads it after the
// handler has returned, so that it is never written again.
func (d *desk) requestID() []string {
	if len(d.ids) == 0 {
		d.ids = newRequestIDs(idsAtOnce)
	}
	id := d.ids[:1:1]
	d.ids = d.ids[1:]
	return id
}

// newRequestIDs makes ids of 130 random bits, in the form of [rand.Text].
func newRequestIDs(n int) []string {
	const alphabet, length = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 26
	text := make([]byte, n*length)
	_, _ = rand.Read(text) // it never fails
	for i, b := range text {
		text[i] = alphabet[b%byte(len(alphabet))]
	}
	all, ids := string(text), make([]string, n)
	for i := range ids {
		ids[i] = all[i*length : (i+1)*length]
	}
	return ids
}

// Header values that are the same in each answer. net/http does not change them.
var (
	valueJSON    = []string{"application/json"}
	valueNosniff = []string{"nosniff"}
	valueClose   = []string{"close"}
)

// predictFast answers one row by position, from a client that may ask. It says
// false, with the body as it was, where anything is out of the ordinary.
func (a *api) predictFast(w http.ResponseWriter, r *http.Request) bool {
	start := time.Now()
	model := a.admit(r)
	if model == nil {
		return false
	}
	d := a.desks.get()
	body := d.body[:r.ContentLength]
	if n, err := io.ReadFull(r.Body, body); err != nil {
		r.Body = rest{io.MultiReader(bytes.NewReader(bytes.Clone(body[:n])), failing{err}), r.Body}
		a.desks.pool.Put(d)
		return false
	}
	if !a.predictRow(model, d, body) {
		r.Body = rest{bytes.NewReader(bytes.Clone(body)), r.Body}
		a.desks.pool.Put(d)
		return false
	}
	h := w.Header()
	h["Content-Type"], h["X-Content-Type-Options"] = valueJSON, valueNosniff
	h["X-Request-Id"] = d.requestID()
	if a.isDraining() {
		h["Connection"] = valueClose
	}
	a.metrics.inFlight.Inc()
	_, _ = w.Write(d.answer) // the client may be gone; net/http adds the length
	a.metrics.inFlight.Dec()
	a.desks.pool.Put(d)
	a.metrics.observe(http.MethodPost, predictPath, http.StatusOK, time.Since(start))
	return true
}

// admit returns the model for a request that the fast path may answer, and nil
// for another one. A panic is left to the router's way, where it happens again.
func (a *api) admit(r *http.Request) (model *serving.Live) {
	defer func() {
		if recover() != nil {
			model = nil
		}
	}()
	if !a.isPlain(r) || !a.mayPredict(r) {
		return nil
	}
	return a.cfg.Models.Current()
}

// isPlain says whether a request has the form that the fast path answers.
func (a *api) isPlain(r *http.Request) bool {
	types := r.Header["Content-Type"]
	return len(types) == 1 && types[0] == "application/json" &&
		r.URL.RawQuery == "" && r.ContentLength > 0 && r.ContentLength <= min(fastMaxBytes, a.cfg.PredictMaxBytes) &&
		len(r.Header["Content-Encoding"]) == 0 && len(r.Header["X-Request-Id"]) == 0 &&
		!a.log.Enabled(r.Context(), slog.LevelDebug) // each request would be logged
}

// mayPredict says whether the request bears a token that is good for it. What is
// wrong with another one, the router finds out.
func (a *api) mayPredict(r *http.Request) bool {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return false
	}
	raw, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok {
		return false
	}
	principal, err := a.cfg.Bearers.Authenticate(r.Context(), raw)
	return err == nil && principal.HasScope(account.ScopePredict)
}

// predictRow reads the body, predicts and encodes the answer. Where it fails in
// any way, by a panic even, the router's way finds the words for it.
func (a *api) predictRow(model *serving.Live, d *desk, body []byte) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if d.row, ok = decodePlain(body, d.row[:0]); !ok {
		return false
	}
	n := model.NumScores()
	if cap(d.scores) < n {
		d.scores = make([]float32, n)
	}
	d.scores = d.scores[:n]
	class, err := model.Predict(d.row, d.scores)
	if err != nil {
		return false
	}
	enc := a.encoders.of(model)
	d.answer = enc.appendPrediction(append(d.answer[:0], '{'), class, d.scores)
	d.answer = append(append(d.answer, enc.model...), "}\n"...)
	return true
}

// rest is a body that was read in part, or whole, and is read again.
type rest struct {
	io.Reader
	io.Closer
}

// failing fails as the body did before.
type failing struct{ err error }

// Read fails.
func (f failing) Read([]byte) (int, error) {
	if errors.Is(f.err, io.EOF) {
		return 0, io.ErrUnexpectedEOF
	}
	return 0, f.err
}

// decodePlain reads {"features":[1,2.5,-3]} and appends the numbers to row. It
// takes only what decodePredict reads as the same numbers, and leaves numbers
// that take care (exponents, more than 15 digits) to it.
func decodePlain(data []byte, row []float64) ([]float64, bool) {
	p := plain{data: data}
	if !p.take('{') || !p.word(`"features"`) || !p.take(':') || !p.take('[') {
		return row, false
	}
	for {
		v, ok := p.number()
		if !ok {
			return row, false
		}
		row = append(row, v)
		if p.take(',') {
			continue
		}
		if !p.take(']') || !p.take('}') {
			return row, false
		}
		p.space()
		return row, p.pos == len(p.data)
	}
}

// plain walks over a body of the plain shape.
type plain struct {
	data []byte
	pos  int
}

func (p *plain) space() {
	for p.pos < len(p.data) && (p.data[p.pos] == ' ' || p.data[p.pos] == '\n' || p.data[p.pos] == '\t' || p.data[p.pos] == '\r') {
		p.pos++
	}
}

func (p *plain) take(c byte) bool {
	p.space()
	if p.pos < len(p.data) && p.data[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *plain) word(w string) bool {
	p.space()
	if len(p.data)-p.pos < len(w) || string(p.data[p.pos:p.pos+len(w)]) != w {
		return false
	}
	p.pos += len(w)
	return true
}

// powersOfTen are exact in a float64.
var powersOfTen = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// number reads a decimal of 15 digits at most. Both its digits and its power of
// ten are exact in a float64, so that one division rounds correctly (Clinger,
// "How to read floating point numbers accurately", 1990).
func (p *plain) number() (float64, bool) {
	p.space()
	negative := p.pos < len(p.data) && p.data[p.pos] == '-'
	if negative {
		p.pos++
	}
	start := p.pos
	digits, point := uint64(0), -1
scan:
	for ; p.pos < len(p.data); p.pos++ {
		switch c := p.data[p.pos]; {
		case c >= '0' && c <= '9':
			digits = digits*10 + uint64(c-'0')
		case c == '.' && point < 0 && p.pos > start:
			point = p.pos
		case c == 'e', c == 'E', c == '.':
			return 0, false
		default:
			break scan
		}
		if p.pos-start > 16 {
			return 0, false
		}
	}
	whole, fraction := p.pos-start, 0
	if point >= 0 {
		whole, fraction = point-start, p.pos-point-1
		if fraction == 0 {
			return 0, false
		}
	}
	if whole == 0 || whole > 1 && p.data[start] == '0' || whole+fraction > 15 {
		return 0, false
	}
	v := float64(digits) / powersOfTen[fraction]
	if negative {
		v = -v
	}
	return v, true
}
