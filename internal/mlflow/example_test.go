package mlflow_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/petal-ml/petal/internal/mlflow"
)

// The version behind an alias is asked for by name.
func ExampleClient_VersionByAlias() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"model_version":{"name":"iris","version":"3","status":"READY","run_id":"e10a"}}`)
	}))
	defer server.Close()

	client, err := mlflow.NewClient(mlflow.Options{TrackingURI: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	version, err := client.VersionByAlias(context.Background(), "iris", "champion")
	fmt.Println(version.Name, version.Number, err)
	// Output:
	// iris 3 <nil>
}
