package oauth

import (
	"net/http"

	"github.com/petal-ml/petal/internal/httpapi/route"
)

// KeySet is the route of the public keys of tokens, a JSON Web Key Set (RFC
// 7517). A minute is soon enough to see a rotation: the key before it is listed
// for a day.
func KeySet(keys func() []byte) route.Route {
	return route.Route{
		Method: http.MethodGet, Path: "/.well-known/jwks.json",
		ID: "keySet", Tag: route.TagAccess, Summary: "The public keys of tokens (RFC 7517)",
		Replies: route.OK("A JSON Web Key Set; empty where tokens are signed with a secret.",
			route.MediaType{Name: "application/jwk-set+json", Schema: route.AnyObject}),
		Handle: func(w http.ResponseWriter, _ *http.Request) error {
			h := w.Header()
			h.Set("Content-Type", "application/jwk-set+json")
			h.Set("Cache-Control", "public, max-age=60")
			_, _ = w.Write(keys()) // the client may be gone
			return nil
		},
	}
}
