package openapi

import (
	"net/http"

	"github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/route"
)

const pagePath = "/docs"

// docsPage loads Swagger UI from this server, and nothing from elsewhere. The
// script stands in a file of its own, so that no inline script need be allowed.
const docsPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Petal</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png" sizes="32x32">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`

const docsScript = `window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  presets: [SwaggerUIBundle.presets.apis],
});
`

// docsPolicy lets the page load from here only. Swagger UI sets styles inline
// and has its icons in data URLs.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func page(w http.ResponseWriter, _ *http.Request) error {
	return writeAsset(w, "text/html; charset=utf-8", docsPage)
}

// assets serves the files of the page.
func assets() route.Handler {
	files := http.StripPrefix(pagePath, statigz.FileServer(static.FS))
	return func(w http.ResponseWriter, r *http.Request) error {
		switch r.URL.Path {
		case pagePath + "/start.js":
			return writeAsset(w, "text/javascript; charset=utf-8", docsScript)
		case pagePath + "/swagger-ui.css", pagePath + "/swagger-ui-bundle.js", pagePath + "/favicon-32x32.png":
			w.Header().Set("Cache-Control", "public, max-age=3600")
			files.ServeHTTP(w, r)
			return nil
		default:
			return problem.NotFound
		}
	}
}

func writeAsset(w http.ResponseWriter, mediaType, content string) error {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Security-Policy", docsPolicy)
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write([]byte(content)) // the client may be gone
	return nil
}
