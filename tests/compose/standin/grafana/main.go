// Command grafana stands in for Grafana where its image cannot be had. It says so
// on every page. It answers the health check and scrapes, and it reads the
// provisioning files and dashboards that are mounted into the real one.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const dashboards = "/etc/grafana/dashboards"

func main() {
	http.HandleFunc("GET /api/health", health)
	http.HandleFunc("GET /metrics", metrics)
	http.HandleFunc("GET /", front)
	server := &http.Server{Addr: ":3000", ReadHeaderTimeout: 5 * time.Second}
	if err := server.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// health is ok once what Grafana provisions at its start is there.
func health(w http.ResponseWriter, _ *http.Request) {
	titles, err := provisioned()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"database": "ok", "version": "stand-in", "dashboards": titles})
}

func provisioned() (map[string]string, error) {
	for _, path := range []string{"datasources/prometheus.yml", "dashboards/petal.yml"} {
		if _, err := os.ReadFile(filepath.Join("/etc/grafana/provisioning", path)); err != nil {
			return nil, err
		}
	}
	files, err := filepath.Glob(filepath.Join(dashboards, "*.json"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, errors.New("no dashboard in "+dashboards))
	}
	titles := make(map[string]string)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var dashboard struct{ UID, Title string }
		if err := json.Unmarshal(data, &dashboard); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		titles[dashboard.UID] = dashboard.Title
	}
	return titles, nil
}

func metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = fmt.Fprintln(w, "# TYPE grafana_build_info gauge\ngrafana_build_info{version=\"stand-in\"} 1")
}

func front(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, "This is a stand-in for Grafana, made for Petal's tests. The real one shows its dashboards here.")
}
