#!/usr/bin/env bash
# Proves that metrics, alerts, dashboards and docs/METRICS.md agree: alerts pass their unit tests, Prometheus can read what a
# running API and a worker say, each expression of a dashboard parses, and each name stands everywhere it should.
#
#   deploy/check-metrics.sh [PROGRAM]
#
# PROGRAM is the `hermod` to start, target/debug/hermod unless given. Needs python3, and promtool of Prometheus 2.42 or newer:
# where it is missing, it is taken out of Debian's package, which is not installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${1:-target/debug/hermod}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[ -x "$program" ] || { echo "metrics check: failed: $program is not there; build it, or name another" >&2; exit 1; }
if command -v promtool >/dev/null; then
  promtool=$(command -v promtool)
elif command -v apt-get >/dev/null; then
  (
    cd "$work"
    apt-get download -qq prometheus >apt.log 2>&1 ||
      { [ "$(id -u)" = 0 ] && apt-get update -qq >>apt.log 2>&1 && apt-get download -qq prometheus >>apt.log 2>&1; } ||
      { cat apt.log; exit 1; }
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
  )
  promtool=$work/usr/bin/promtool
else
  echo "metrics check: skipped: promtool is not installed"
  exit 0
fi

"$promtool" check config deploy/prometheus/prometheus.yaml
(cd deploy/prometheus && "$promtool" test rules rules_test.yaml)
python3 deploy/check_metrics.py "$promtool" "$program"
