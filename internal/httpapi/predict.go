package httpapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/petal-ml/petal/internal/serving"
)

// predict is POST /predict.
func (a *api) predict(w http.ResponseWriter, r *http.Request) {
	model := a.cfg.Models.Current()
	if model == nil {
		fail(w, r, errNotReady)
		return
	}
	body, no := readBody(w, r, "application/json", a.cfg.PredictMaxBytes)
	if no != nil {
		fail(w, r, *no)
		return
	}
	req, fault := decodePredict(body)
	if fault != nil {
		a.rejectInput(w, r, model, fault)
		return
	}
	rows, fault := bind(req, model)
	if fault != nil {
		a.rejectInput(w, r, model, fault)
		return
	}
	answer, i, err := a.answer(model, rows, req.many)
	if errors.Is(err, serving.ErrNotFinite) {
		a.rejectInput(w, r, model, reject(rejectNotFinite, rowLocation(req.many, i), serving.ErrNotFinite.Error()))
		return
	} else if err != nil {
		a.internal(w, r, "prediction", err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // the client may be gone
}

// answer predicts all rows with one model and encodes the answer. With an error
// comes the index of its row.
func (a *api) answer(model *serving.Model, rows [][]float64, many bool) ([]byte, int, error) {
	enc := a.encoders.of(model)
	scores := make([]float32, model.NumScores())
	body := make([]byte, 0, enc.size(len(rows)))
	if many {
		body = append(body, `{"predictions":[`...)
	}
	for i, row := range rows {
		class, err := model.Predict(row, scores)
		if err != nil {
			return nil, i, err
		}
		switch {
		case !many:
			body = enc.appendPrediction(append(body, '{'), class, scores)
		case i > 0:
			body = append(enc.appendPrediction(append(body, ",{"...), class, scores), '}')
		default:
			body = append(enc.appendPrediction(append(body, '{'), class, scores), '}')
		}
	}
	if many {
		body = append(body, ']')
	}
	return append(append(body, enc.model...), "}\n"...), 0, nil
}

// bind puts the rows of a request in the model's order of features and checks
// them.
func bind(req request, model *serving.Model) ([][]float64, *fieldError) {
	features := model.Info().Features
	rows := make([][]float64, len(req.rows))
	var index map[string]int
	for i, in := range req.rows {
		rows[i] = in.values
		if in.names != nil {
			if index == nil {
				index = featureIndex(features)
			}
			var fault *fieldError
			if rows[i], fault = byName(in, features, index, rowLocation(req.many, i)); fault != nil {
				return nil, fault
			}
		}
		if err := model.Check(rows[i]); err != nil {
			return nil, inputFault(err, rowLocation(req.many, i), in.names != nil)
		}
	}
	return rows, nil
}

func featureIndex(features []serving.Feature) map[string]int {
	index := make(map[string]int, len(features))
	for i, f := range features {
		index[f.Name] = i
	}
	return index
}

// byName puts the values of one row in order. Every feature must be there:
// a missing value is written as null.
func byName(in instance, features []serving.Feature, index map[string]int, at string) ([]float64, *fieldError) {
	row := make([]float64, len(features))
	given := make([]bool, len(features))
	for i, name := range in.names {
		at2, known := index[name]
		if !known {
			return nil, reject(rejectUnknownKey, at, "there is a feature that the model does not know; GET /model-info lists its features")
		}
		row[at2], given[at2] = in.values[i], true
	}
	for i, ok := range given {
		if !ok {
			return nil, reject(rejectMissingKey, at+"."+features[i].Name, "this feature is missing")
		}
	}
	return row, nil
}

// inputFault turns the model's objection into one with a place in the body.
func inputFault(err error, at string, named bool) *fieldError {
	var in *serving.InputError
	if !errors.As(err, &in) {
		return reject(rejectMalformed, at, "the row does not fit the model")
	}
	if in.Column >= 0 && named {
		at += "." + in.Name
	} else if in.Column >= 0 {
		at += fmt.Sprintf("[%d]", in.Column)
	}
	switch in.Fault {
	case serving.WrongWidth:
		return reject(rejectWrongWidth, at, fmt.Sprintf("the model takes %d values a row, not %d", in.Want, in.Got))
	case serving.MissingValue:
		return reject(rejectMissingValue, at, "a number is expected, not null")
	default:
		return reject(rejectOutOfRange, at, "the number is out of range; a 32-bit float must hold it (at most "+
			strconv.FormatFloat(math.MaxFloat32, 'g', 8, 64)+" in size)")
	}
}

// rowLocation names row i of a body.
func rowLocation(many bool, i int) string {
	if many {
		return fmt.Sprintf("body.instances[%d]", i)
	}
	return "body.features"
}

// rejectInput answers 422 with the place of the fault.
func (a *api) rejectInput(w http.ResponseWriter, r *http.Request, model *serving.Model, fault *fieldError) {
	a.metrics.rejected.WithLabelValues(string(fault.reason)).Inc()
	at := fault.location
	if _, known := featureIndex(model.Info().Features)[fault.key]; known && fault.key != "" {
		at += "." + fault.key
	}
	fail(w, r, failure{
		status: http.StatusUnprocessableEntity, kind: "invalid-input",
		detail: at + ": " + fault.message,
		fields: []problemField{{Message: fault.message, Location: at}},
	})
}
