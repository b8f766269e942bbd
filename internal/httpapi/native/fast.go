package native

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/httpapi/web"
	"github.com/petal-ml/petal/internal/serving"
)

// fastMaxBytes bounds the bodies that the fast path looks at. One row of a
// hundred columns fits.
const fastMaxBytes = 4096

// A scratch is the buffers of one fast prediction.
type scratch struct {
	body   []byte
	row    []float64
	scores []float32
	answer []byte
	ids    []string // request ids that nobody has yet
}

func (a *api) getScratch() *scratch {
	if s, ok := a.scratches.Get().(*scratch); ok {
		return s
	}
	return &scratch{body: make([]byte, fastMaxBytes), row: make([]float64, 0, 64), scores: make([]float32, 0, 16), answer: make([]byte, 0, 1024)}
}

// idsAtOnce request ids are made together: randomness and memory for one alone
// would cost as much.
const idsAtOnce = 64

// requestID returns a new id as a header's value. net/http reads it after the
// handler has returned, so that it is never written again.
func (s *scratch) requestID() []string {
	if len(s.ids) == 0 {
		s.ids = web.NewIDs(idsAtOnce)
	}
	id := s.ids[:1:1]
	s.ids = s.ids[1:]
	return id
}

// Header values that are the same in each answer. net/http does not change them.
var (
	valueJSON    = []string{"application/json"}
	valueNosniff = []string{"nosniff"}
	valueClose   = []string{"close"}
)

// fast answers one row by position, from a client that may ask. It returns false,
// with the body as it was, where anything is out of the ordinary: predict gives
// the same answer, and knows the words for what is wrong.
func (a *api) fast(w http.ResponseWriter, r *http.Request) bool {
	model := a.fastModel(r)
	if model == nil {
		return false
	}
	s := a.getScratch()
	defer a.scratches.Put(s)
	body := s.body[:r.ContentLength]
	// One read only: a body that comes in pieces has the other path's deadlines.
	if n, err := r.Body.Read(body); n < len(body) {
		after := io.Reader(r.Body)
		if err != nil {
			after = failing{err}
		}
		r.Body = rest{io.MultiReader(bytes.NewReader(bytes.Clone(body[:n])), after), r.Body}
		return false
	}
	if !a.predictRow(r, model, s, body) {
		r.Body = rest{bytes.NewReader(bytes.Clone(body)), r.Body}
		return false
	}
	h := w.Header()
	h["Content-Type"], h["X-Content-Type-Options"] = valueJSON, valueNosniff
	h["X-Request-Id"] = s.requestID()
	if a.cfg.Predict.IsStopping() {
		h["Connection"] = valueClose
	}
	_, _ = w.Write(s.answer) // the client may be gone; net/http adds the length
	return true
}

// fastModel returns the model for a request that the fast path may answer, and
// nil for another one. A panic is left to the other path, where it happens again.
func (a *api) fastModel(r *http.Request) (model *serving.Live) {
	defer func() {
		if recover() != nil {
			model = nil
		}
	}()
	if !a.isPlain(r) || !a.mayPredict(r) {
		return nil
	}
	model, _ = a.cfg.Predict.Current() // nil where there is none
	return model
}

// isPlain says whether a request has the form that the fast path answers.
func (a *api) isPlain(r *http.Request) bool {
	types := r.Header["Content-Type"]
	return len(types) == 1 && types[0] == "application/json" &&
		r.URL.RawQuery == "" && r.ContentLength > 0 && r.ContentLength <= min(fastMaxBytes, a.cfg.MaxBytes) &&
		len(r.Header["Content-Encoding"]) == 0 && len(r.Header["X-Request-Id"]) == 0 &&
		!a.cfg.Log.Enabled(r.Context(), slog.LevelDebug) // each request would be logged
}

// mayPredict says whether the request bears a token that is good for it. What is
// wrong with another one, the other path finds out.
func (a *api) mayPredict(r *http.Request) bool {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return false
	}
	raw, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok {
		return false
	}
	_, err := a.cfg.Predict.Authorize(r.Context(), raw, account.ScopePredict)
	return err == nil
}

// predictRow reads the body, predicts in the row's turn and encodes the answer.
// Where it fails in any way, by a panic even, the other path answers.
func (a *api) predictRow(r *http.Request, model *serving.Live, s *scratch, body []byte) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if s.row, ok = decodePlain(body, s.row[:0]); !ok {
		return false
	}
	n := model.NumScores()
	if cap(s.scores) < n {
		s.scores = make([]float32, n)
	}
	s.scores = s.scores[:n]
	class, err := a.cfg.Predict.PredictRow(r.Context(), model, s.row, s.scores)
	if err != nil {
		return false
	}
	enc := a.encoders.Of(model, newEncoder)
	s.answer = enc.appendPrediction(append(s.answer[:0], '{'), class, s.scores)
	s.answer = append(s.answer, enc.model...)
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
