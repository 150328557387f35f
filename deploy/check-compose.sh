#!/usr/bin/env bash
# Proves that docker-compose.yml works: builds, starts, completes a job, scales the workers up and down under load
# without losing a job, stops cleanly. And that its containers are locked in: no root, no capability, nothing to write
# to, limits; secrets only where they are used; Redis behind a password and a network of its own; the API's port on
# loopback alone. Leaves no container, network or volume behind.
#
#   deploy/check-compose.sh
#
# Needs a Docker engine and docker-compose or `docker compose` (COMPOSE="docker compose" chooses); without them
# it says so and succeeds. Where the default base images cannot be pulled, deploy/local-images.sh makes some.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly jobs=200
readonly project=hermod-check-$$

say() { printf '[%3ds] %s\n' "$SECONDS" "$*"; }
die() { printf 'compose check: failed: %s\n' "$*" >&2; exit 1; }
skip() { printf 'compose check: skipped: %s\n' "$*"; exit 0; }

command -v docker >/dev/null || skip "docker is not installed"
docker info >/dev/null 2>&1 || skip "no Docker engine answers"
if [ -n "${COMPOSE:-}" ]; then read -ra compose_command <<<"$COMPOSE"
elif command -v docker-compose >/dev/null; then compose_command=(docker-compose)
elif docker compose version >/dev/null 2>&1; then compose_command=(docker compose)
else skip "neither docker-compose nor docker compose is installed"; fi
compose() { "${compose_command[@]}" -p "$project" "$@"; }

# phase NAME: begins one, and says how long the one before took.
phase_name='' phase_start=0 phases=''
phase() {
  [ -z "$phase_name" ] || phases+=$(printf '%5ds  %s' $((SECONDS - phase_start)) "$phase_name")$'\n'
  phase_name=$1 phase_start=$SECONDS
  [ -z "$1" ] || say "== $1"
}

# within SECONDS WHAT COMMAND…: waits until the command succeeds.
within() {
  local deadline=$((SECONDS + $1)) seconds=$1 what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || die "not within ${seconds}s: $what"
    sleep 0.5
  done
}

work=$(mktemp -d)
finish() {
  local status=$?
  trap - EXIT
  if [ "$status" != 0 ]; then
    compose ps || true
    compose logs --no-color --tail=40 || true
  fi
  # shellcheck disable=SC2046
  kill $(jobs -p) 2>/dev/null || true
  compose down -v --remove-orphans -t 5 >/dev/null 2>&1 || true
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT

# --- Base images ---------------------------------------------------------------------------------------

phase "base images"
if [ -n "${HERMOD_BUILD_IMAGE:-}" ]; then
  say "as the environment says: $HERMOD_BUILD_IMAGE"
elif timeout 60 docker pull -q "$(sed -n 's/.*HERMOD_REDIS_IMAGE:-\(.*\)}$/\1/p' docker-compose.yml)" >/dev/null 2>&1; then
  say "pulling the default ones"
elif [ "$(id -u)" = 0 ]; then
  say "there is no image registry; making them here"
  deploy/local-images.sh
  export HERMOD_BUILD_IMAGE=hermod-base-build HERMOD_REDIS_IMAGE=hermod-base-redis
else
  skip "no image registry, and deploy/local-images.sh needs root"
fi

# --- Build ---------------------------------------------------------------------------------------------

# The same code, not optimised: this check is about deployment, and a full release build takes several times as long.
export HERMOD_CARGO_FLAGS=${HERMOD_CARGO_FLAGS---config profile.release.lto=false --config profile.release.codegen-units=16 --config profile.release.opt-level=0}
phase "image build"
compose build >"$work/build.log" 2>&1 || { tail -n 60 "$work/build.log"; die "the image does not build"; }
say "hermod:local: $(docker image inspect --format '{{.Size}}' hermod:local | numfmt --to=si)B"

# --- Start ---------------------------------------------------------------------------------------------

# healthy SERVICE COUNT: so many containers of it run, and all are healthy.
healthy() {
  local ids
  mapfile -t ids < <(compose ps -q "$1" 2>/dev/null)
  [ "${#ids[@]}" = "$2" ] &&
    [ "$(docker inspect --format '{{.State.Health.Status}}' "${ids[@]}" 2>/dev/null | grep -cx healthy)" = "$2" ]
}

phase "start, 1 worker"
# Its own settings, whatever the caller's environment holds. Port 0: the engine picks a free one.
unset HERMOD_PUBLISH REDIS_MAXMEMORY REDIS_MEMORY_LIMIT
export HERMOD_PORT=0 REDIS_PASSWORD=check-password OPENAI_API_KEY=sk-check-provider-key VK_TEAM=sk-bf-check-virtual-key
# The demo provider, and one with a key, which only workers may see.
cat >"$work/config.json" <<'END'
{
  "providers": {
    "demo": {
      "network_config": { "base_url": "http://demo-provider:9090" },
      "custom_provider_config": { "base_provider_type": "openai", "is_key_less": true }
    },
    "openai": { "keys": [{ "name": "first", "value": "env.OPENAI_API_KEY", "models": ["*"], "weight": 1 }] }
  },
  "governance": { "virtual_keys": [{ "id": "team", "name": "team", "value": "env.VK_TEAM",
    "provider_configs": [{ "provider": "demo", "allowed_models": ["*"], "key_ids": ["*"] }] }] }
}
END
chmod 644 "$work/config.json"
export HERMOD_CONFIG_FILE=$work/config.json
compose up -d --scale worker=1 2>&1 | sed 's/^/       /'
for service in redis api demo-provider worker; do within 120 "$service is healthy" healthy "$service" 1; done
address=http://127.0.0.1:$(compose port api 8080 | sed 's/.*://')
url=$address/v1/async/completions
say "healthy; the API is $url"

# --- One job -------------------------------------------------------------------------------------------

# submit MODEL: prints the job's id.
submit() {
  curl -sS --fail-with-body --max-time 10 -w '\n' -H 'content-type: application/json' \
    -d "{\"model\":\"$1\",\"prompt\":\"Hello from the compose check\"}" "$url" | sed -n 's/.*"id":"\([^"]*\)".*/\1/p'
}
# completed IDS_FILE: how many of the jobs are completed. One curl polls them all.
completed() {
  sed "s#.*#url = \"$url/&\"#" "$1" | curl -s --max-time 60 -w '\n' -K - | grep -c '"status":"completed"' || true
}
all_completed() { [ "$(completed "$1")" = "$2" ]; }

phase "one job"
submit demo/echo >"$work/one"
[ -s "$work/one" ] || die "the API took no job"
within 30 "the job is completed" all_completed "$work/one" 1
say "$(curl -s "$url/$(cat "$work/one")")"

# --- Locked in -----------------------------------------------------------------------------------------

# expect WHAT ACTUAL EXPECTED
expect() { [ "$2" = "$3" ] || die "$1: expected '$3', found '$2'"; }
# of SERVICE: its container.
of() { compose ps -q "$1" | head -n 1; }
redis=$(of redis) api=$(of api) worker=$(of worker) demo=$(of demo-provider)
# Hermod's image has no shell. What looks into its containers is of the image that it was built in.
readonly tools_image=${HERMOD_BUILD_IMAGE:-$(sed -n 's/^ARG BUILD_IMAGE=//p' deploy/Dockerfile)}
# inside CONTAINER COMMAND…: as the container's user, among its processes and in its networks.
inside() {
  local id=$1
  shift
  if [ "$id" = "$redis" ]; then docker exec "$id" "$@"; return; fi
  docker run --rm --user "$(docker inspect --format '{{.Config.User}}' "$id")" --pid "container:$id" \
    --network "container:$id" --entrypoint '' "$tools_image" "$@"
}

phase "locked in"
for id in "$redis" "$api" "$worker" "$demo"; do
  name=$(docker inspect --format '{{.Name}}' "$id" | tr -d /)
  # Of the running process, not of the configuration.
  read -r uid capabilities no_new_privileges root files < <(inside "$id" sh -c '
    echo "$(stat -c %u /proc/1)" $(sed -n "s/^CapBnd:\t//p; s/^NoNewPrivs:\t//p" /proc/1/status) \
      "$(sed -n "s/^[^ ]* \/ [^ ]* \([a-z]*\).*/\1/p" /proc/1/mounts)" \
      "$(sed -n "s/^Max open files *\([0-9]*\).*/\1/p" /proc/1/limits)"')
  read -r memory pids < <(docker inspect --format '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' "$id")
  say "$name: uid $uid, root filesystem $root, $((memory >> 20)) MiB, $pids threads, $files files"
  [ "$uid" != 0 ] || die "$name runs as root"
  expect "$name: NoNewPrivs" "$no_new_privileges" 1
  expect "$name: capabilities" "$capabilities" 0000000000000000
  expect "$name: root filesystem" "$root" ro
  expect "$name: open files" "$files" 19456
  [ "$memory" -gt 0 ] || die "$name has no limit of memory"
  [ "$pids" -gt 0 ] || die "$name has no limit of threads"
done

phase "nothing but the program"
content=$(docker export "$worker" | tar -t | grep -v '/$')
say "$(wc -l <<<"$content") files: $(tr '\n' ' ' <<<"$content")"
! grep -E '(^|/)(sh|bash|dash|busybox|apt|dpkg|perl|curl)$' <<<"$content" || die "the image has more than the program"
say "$(docker exec "$worker" hermod --version)"
docker exec "$worker" hermod healthcheck || die "a worker that is healthy is not found"
docker exec "$api" hermod healthcheck || die "an API process that is healthy is not found"

phase "secrets"
# has CONTAINER NAME: whether its main process has that variable.
has() { inside "$1" cat /proc/1/environ | tr '\0' '\n' | grep "^$2=" >/dev/null; }
has "$worker" OPENAI_API_KEY || die "the worker has no provider key"
for id in "$redis" "$api" "$demo"; do ! has "$id" OPENAI_API_KEY || die "a container other than a worker has a provider key"; done
for id in "$api" "$worker"; do has "$id" VK_TEAM || die "the API or a worker has no virtual key"; done
for id in "$redis" "$demo"; do ! has "$id" VK_TEAM || die "Redis or the demo provider has a virtual key"; done
! has "$demo" REDIS_URL || die "the demo provider has the password of Redis"
arguments=$(docker exec "$redis" cat /proc/1/cmdline | tr '\0' ' ')
case "$arguments" in *redis-server*) ;; *) die "the main process of the Redis container is $arguments" ;; esac
case "$arguments" in *check-password*) die "the password of Redis is in its arguments" ;; esac
say "the provider key is in the worker alone; the API has started without it"

phase "networks"
ping_redis() { docker exec "$redis" env "$@" redis-cli ping 2>&1; }
case "$(ping_redis -u REDISCLI_AUTH)" in *NOAUTH*) ;; *) die "Redis answers without a password" ;; esac
expect "Redis with its password" "$(ping_redis REDISCLI_AUTH=check-password)" PONG
# reaches CONTAINER HOST PORT
reaches() { inside "$1" timeout 3 bash -c ": </dev/tcp/$2/$3" 2>/dev/null; }
address_of() { docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$1"; }
for ip in $(address_of "$redis"); do
  reaches "$worker" "$ip" 6379 || die "the worker does not reach Redis at $ip"
  ! reaches "$demo" "$ip" 6379 || die "the demo provider reaches Redis at $ip"
done
! reaches "$demo" redis 6379 || die "the demo provider finds Redis by its name"
reaches "$demo" 127.0.0.1 9090 || die "the demo provider does not reach itself"
reaches "$api" redis 6379 || die "the API does not reach Redis"
reaches "$worker" demo-provider 9090 || die "the worker does not reach the demo provider"
! reaches "$api" demo-provider 9090 || die "the API is in the network of the demo provider"
for id in "$redis" "$api" "$worker" "$demo"; do
  ports=$(docker inspect --format '{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}} {{end}}{{end}}' "$id")
  wanted=
  [ "$id" != "$api" ] || wanted='127.0.0.1 '
  expect "addresses that $(docker inspect --format '{{.Name}}' "$id") is published on" "$ports" "$wanted"
done
# What is for operators is on the other port.
expect "GET /livez" "$(curl -s -o /dev/null -w '%{http_code}' "$address/livez")" 200
for path in metrics readyz; do
  expect "GET /$path of the published port" "$(curl -s -o /dev/null -w '%{http_code}' "$address/$path")" 404
  docker exec "$worker" hermod healthcheck "http://api:9091/$path" || die "/$path is not on the API's port for operators"
done
say "Redis wants its password, only the API and workers reach it, and the API is published on loopback alone"

# --- Scaling under load --------------------------------------------------------------------------------

phase "$jobs jobs while workers go from 1 to 4 to 1"
# At about ten a second, so that there is load for as long as the scaling takes.
(
  for _ in $(seq "$jobs"); do
    submit demo/slow-500ms
    sleep 0.05
  done
) >"$work/ids" 2>"$work/submit.log" &
submitter=$!
compose up -d --no-recreate --scale worker=4 >"$work/scale.log" 2>&1 || { cat "$work/scale.log"; die "cannot scale up"; }
within 120 "4 workers are healthy" healthy worker 4
say "4 workers; $(wc -l <"$work/ids") jobs accepted so far, $(completed "$work/ids") completed"
compose up -d --no-recreate --scale worker=1 >"$work/scale.log" 2>&1 || { cat "$work/scale.log"; die "cannot scale down"; }
within 60 "1 worker is left" healthy worker 1
say "1 worker; $(wc -l <"$work/ids") jobs accepted so far, $(completed "$work/ids") completed"
wait "$submitter" || { cat "$work/submit.log"; die "a submit failed"; }
[ "$(wc -l <"$work/ids")" = "$jobs" ] || { cat "$work/submit.log"; die "not every submit was accepted"; }
within 120 "all $jobs jobs are completed" all_completed "$work/ids" "$jobs"
say "$jobs of $jobs jobs are completed"

# --- Stop ----------------------------------------------------------------------------------------------

phase "stop"
mapfile -t containers < <(compose ps -q)
compose stop >"$work/stop.log" 2>&1 || { cat "$work/stop.log"; die "cannot stop"; }
for id in "${containers[@]}"; do
  state=$(docker inspect --format '{{.Name}} exit code {{.State.ExitCode}}' "$id" | tr -d /)
  say "$state"
  [ "${state##* }" = 0 ] || die "a container did not stop by itself"
done
compose down -v >"$work/stop.log" 2>&1 || { cat "$work/stop.log"; die "cannot remove"; }
phase ''

printf '%s' "$phases"
printf 'compose check: passed in %ds\n' "$SECONDS"
