package httpapi

import (
	"net/http"
	"strings"

	"github.com/petal-ml/petal/internal/httpapi/web"
	"github.com/petal-ml/petal/internal/predict"
)

// authorize lets in who bears a token with the scope, a user's or the API key of
// a machine; everybody where the scope is empty. Nothing of the body has been
// read then.
func (s *server) authorize(r *http.Request, scope string) error {
	if scope == "" {
		return nil
	}
	raw, err := bearerToken(r)
	if err != nil {
		return err
	}
	principal, err := s.cfg.Predict.Authorize(r.Context(), raw, scope)
	web.InfoOf(r).User = principal.Name
	return err
}

// bearerToken takes the token from the one place where it may stand, the
// Authorization header (RFC 6750 §2.1).
func bearerToken(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	switch {
	case r.URL.RawQuery != "" && r.URL.Query().Has("access_token"):
		return "", &predict.AccessError{Reason: predict.MalformedToken, Message: "a token in the URL is not accepted; use the Authorization header"}
	case len(values) > 1:
		return "", &predict.AccessError{Reason: predict.MalformedToken, Message: "there is more than one Authorization header"}
	case len(values) == 1:
		if scheme, raw, _ := strings.Cut(values[0], " "); strings.EqualFold(scheme, "Bearer") {
			return strings.Trim(raw, " "), nil
		}
	}
	return "", &predict.AccessError{Reason: predict.NoToken, Message: "a bearer token is needed; POST /token gives one"}
}
