package native

import (
	"errors"
	"net/http"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/web"
	"github.com/petal-ml/petal/internal/predict"
)

// predict is POST /predict.
func (a *api) predict(w http.ResponseWriter, r *http.Request) error {
	model, err := a.cfg.Predict.Current()
	if err != nil {
		return err
	}
	wanted, err := readOptions(r)
	if err != nil {
		return err
	}
	if err := web.CheckType(r, "application/json"); err != nil {
		return err
	}
	batch := a.cfg.Predict.NewBatch(model)
	defer batch.Release()
	body, err := web.ReadBody(w, r, a.cfg.MaxBytes, &batch.Share)
	if err != nil {
		return err
	}
	many, err := decodePredict(body, batch)
	if err != nil {
		return err
	}
	if err := batch.Predict(r.Context(), wanted.explain); err != nil {
		return predictError(err, many)
	}
	encoder := a.encoders.Of(model, newEncoder)
	size := encoder.size(batch.Len(), wanted)
	if err := batch.Take(size); err != nil {
		return err
	}
	web.WriteBody(w, "application/json", encoder.appendAnswer(make([]byte, 0, size), batch, many, wanted))
	return nil
}

// predictError gives an error of an evaluation its place.
func predictError(err error, many bool) error {
	var in *predict.InputError
	if errors.As(err, &in) && in.Reason == predict.Unexplained {
		return problem.Invalid(in.Reason, "query."+paramExplain, in.Message)
	}
	return problem.Located(err, rowLocation(many))
}
