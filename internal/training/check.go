package training

import "context"

// Check reads the request's data and profiles them. The profile is there unless
// the file cannot be read; faults tell whatever would stop a training.
func (t *Trainer) Check(ctx context.Context, req Request) (p *Profile, faults error) {
	if err := req.Params.Validate(req.ParamsFile); err != nil {
		return nil, err
	}
	source, err := locate(ctx, req.Params.Data, t.cfg.DVC)
	if err != nil {
		return nil, err
	}
	d, err := source.read(ctx, req.Params, true)
	if err != nil {
		return nil, err
	}
	d.Path = source.path
	training, test, err := split(d, req.Params)
	if err == nil {
		err = checkFolds(d, training, req.Params)
	}
	return profile(d, training, test), err
}
