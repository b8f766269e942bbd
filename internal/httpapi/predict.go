package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/serving"
)

// predict is POST /predict.
func (a *api) predict(w http.ResponseWriter, r *http.Request) {
	live := a.cfg.Models.Current()
	if live == nil {
		fail(w, r, errNotReady)
		return
	}
	wanted, fault := readOptions(r)
	if fault != nil {
		a.rejectInput(w, r, live, fault)
		return
	}
	body, no := readBody(w, r, "application/json", a.cfg.PredictMaxBytes)
	if no != nil {
		fail(w, r, *no)
		return
	}
	req, fault := decodePredict(body)
	if fault != nil {
		a.rejectInput(w, r, live, fault)
		return
	}
	rows, fault := newBinder(live, func(i int) string { return rowLocation(req.many, i) }).bind(req.rows)
	if fault != nil {
		a.rejectInput(w, r, live, fault)
		return
	}
	i, admitted, err := a.evaluate(r.Context(), live, rows)
	if !admitted {
		fail(w, r, errOverload)
		return
	}
	if fault := evaluationFault(err, i, func(i int) string { return rowLocation(req.many, i) }); fault != nil {
		a.rejectInput(w, r, live, fault)
		return
	} else if err != nil {
		a.internal(w, r, "prediction", err)
		return
	}
	answer, err := a.encodePredictions(live, rows, req.many, wanted)
	if errors.Is(err, model.ErrNoExplanation) {
		a.rejectInput(w, r, live, reject(rejectUnexplained, "query."+paramExplain, err.Error()))
		return
	} else if err != nil {
		a.internal(w, r, "explanation", err)
		return
	}
	writeBody(w, "application/json", answer)
}

func (a *api) encodePredictions(model *serving.Live, rows *batch, many bool, wanted options) ([]byte, error) {
	enc := a.encoders.of(model)
	body := make([]byte, 0, enc.size(rows.n))
	if many {
		body = append(body, `{"predictions":[`...)
	}
	for i, class := range rows.classes {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, '{')
		if wanted.topK > 0 && len(enc.classes) > 0 {
			body = enc.appendTop(body, class, rows.of(i), wanted.topK)
		} else {
			body = enc.appendPrediction(body, class, rows.of(i))
		}
		if wanted.explain {
			width := len(enc.features)
			x, err := model.Explain(rows.x[i*width:(i+1)*width], class)
			if err != nil {
				return nil, err
			}
			body = enc.appendExplanation(body, x)
		}
		if many {
			body = append(body, '}')
		}
	}
	if many {
		body = append(body, ']')
	}
	return append(append(body, enc.model...), "}\n"...), nil
}

// writeBody writes a body that is whole.
func writeBody(w http.ResponseWriter, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may be gone
}

func featureIndex(features []model.Feature) map[string]int {
	index := make(map[string]int, len(features))
	for i, f := range features {
		index[f.Name] = i
	}
	return index
}

// inputFault turns the model's objection into one with a place in the body.
func inputFault(err error, at string, named bool) *fieldError {
	var in *model.InputError
	if !errors.As(err, &in) {
		return reject(rejectMalformed, at, "the row does not fit the model")
	}
	if in.Column >= 0 && named {
		at += "." + in.Name
	} else if in.Column >= 0 {
		at += fmt.Sprintf("[%d]", in.Column)
	}
	reason := map[model.Fault]rejectReason{
		model.WrongWidth: rejectWrongWidth, model.MissingValue: rejectMissingValue, model.WrongKind: rejectWrongType,
		model.OutOfRange: rejectOutOfRange, model.Refused: rejectRefused,
	}[in.Fault]
	return reject(reason, at, in.Problem())
}

// rowLocation names row i of a body, -1 all of them.
func rowLocation(many bool, i int) string {
	if many && i < 0 {
		return "body.instances"
	}
	if many {
		return fmt.Sprintf("body.instances[%d]", i)
	}
	return "body.features"
}

// rejectInput answers that a body makes no sense, with the place of the fault.
func (a *api) rejectInput(w http.ResponseWriter, r *http.Request, model *serving.Live, fault *fieldError) {
	a.metrics.rejected.WithLabelValues(string(fault.reason)).Inc()
	at := fault.location
	if _, known := featureIndex(model.Info().Features)[fault.key]; known && fault.key != "" {
		at += "." + fault.key
	}
	fail(w, r, failure{
		status: faceOf(r.URL.Path).invalid(), kind: "invalid-input", mlflow: fault.mlflowCode(),
		detail: at + ": " + fault.message,
		fields: []problemField{{Message: fault.message, Location: at}},
	})
}
