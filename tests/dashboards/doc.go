// Package dashboards holds the tests of the monitoring: rules, alerts, routes,
// mails, runbooks and dashboards, against the real promtool, amtool and
// Prometheus.
package dashboards
