#!/usr/bin/env bash
# Makes the base images of the compose setup without an image registry, for machines that have a
# Docker engine but cannot pull. Packages and crates come from where this machine's apt and cargo get theirs:
#
#   hermod-base-runtime   Debian, minimal                       what the other two are made from
#   hermod-base-redis     + Debian's redis-server               HERMOD_REDIS_IMAGE
#   hermod-base-build     + gcc, this machine's Rust toolchain  HERMOD_BUILD_IMAGE
#                         and every crate in Cargo.lock, so that `docker build` needs no network
#
# An image that is there already is kept; hermod-base-build is made again when Cargo.lock or the toolchain
# has changed. Remove an image (`docker rmi`) to have it made afresh, for example for security updates.
#
#   sudo deploy/local-images.sh
#   export HERMOD_BUILD_IMAGE=hermod-base-build HERMOD_REDIS_IMAGE=hermod-base-redis
#   docker-compose up --build
#
# Needs root, a Docker engine, Debian's debootstrap (installed if missing), cargo and rustc from rustup.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly suite=bookworm
readonly runtime_image=hermod-base-runtime
readonly redis_image=hermod-base-redis
readonly build_image=hermod-base-build
# The user of the official Redis and Valkey images, so that one compose file and one volume serve them all.
readonly redis_uid=999

say() { printf '[%3ds] %s\n' "$SECONDS" "$*"; }
die() { printf 'local-images.sh: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "run this as root: debootstrap makes files that belong to root"
docker info >/dev/null 2>&1 || die "no Docker engine answers"

work=$(mktemp -d "${TMPDIR:-/var/tmp}/hermod-images.XXXXXX")
container=
cleanup() {
  [ -z "$container" ] || docker rm -f "$container" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT
# Output of package tools; shown only when something fails.
readonly log=$work/log
trap 'echo "local-images.sh: failed in line $LINENO; the end of the log:" >&2; tail -n 20 "$log" >&2' ERR
: >"$log"

# mirror_of RELEASE LABEL: where this machine's apt gets a release of Debian; or, as one mirror has all releases,
# where it gets any with that label. Nothing before the first `apt-get update`.
mirror_of() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(RELEASE)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
    awk -F'|' -v release="$1" -v label="$2" '
      $1 == release && !exact { exact = $3 }
      $2 == label && !other { other = $3 }
      END { print exact ? exact : other }'
}

# import IMAGE DIR [CHANGE…]: a directory becomes a one-layer image.
import() {
  local image=$1 dir=$2 changes=() change
  shift 2
  for change in "$@"; do changes+=(--change "$change"); done
  # Package lists and downloads, documentation and this machine's name are of no use in an image.
  rm -rf "$dir"/var/lib/apt/lists/* "$dir"/var/cache/apt/* "$dir"/var/cache/debconf/*-old \
    "$dir"/var/log/*.log "$dir"/usr/share/{man,info,locale}/* "$dir"/etc/hostname
  find "$dir/usr/share/doc" -type f ! -name copyright -delete
  : >"$dir/etc/resolv.conf"
  tar -C "$dir" --numeric-owner --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -c . |
    docker import "${changes[@]}" - "$image" >>"$log"
  say "$image: made ($(docker image inspect --format '{{.Size}}' "$image" | numfmt --to=si)B)"
}

# unpack_runtime DIR: the files of hermod-base-runtime, ready for `install_into`.
unpack_runtime() {
  mkdir "$1"
  container=$(docker create "$runtime_image" true)
  docker export "$container" | tar -C "$1" --exclude='dev/*' -x
  docker rm "$container" >>"$log"
  container=
  mknod -m 666 "$1/dev/null" c 1 3
  mknod -m 666 "$1/dev/urandom" c 1 9
}

# in_root DIR COMMAND…: a command inside a directory, with this machine's name servers.
in_root() {
  local dir=$1
  shift
  cp -L /etc/resolv.conf "$dir/etc/resolv.conf"
  chroot "$dir" env PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@" >>"$log" 2>&1
}

install_into() {
  local dir=$1
  shift
  in_root "$dir" apt-get update -q
  in_root "$dir" apt-get install -q -y --no-install-recommends "$@"
}

exists() { docker image inspect "$1" >/dev/null 2>&1; }

make_runtime() {
  local mirror security_mirror
  apt-get update -q >>"$log" 2>&1
  if ! command -v debootstrap >/dev/null; then
    say "installing debootstrap"
    apt-get install -q -y --no-install-recommends debootstrap >>"$log" 2>&1
  fi
  mirror=$(mirror_of "$suite" Debian)
  [ -n "$mirror" ] || die "this machine's apt has no source of Debian packages: see sources.list(5)"
  security_mirror=$(mirror_of "$suite-security" Debian-Security)
  say "$runtime_image: Debian $suite${security_mirror:+, with security updates}"
  debootstrap --variant=minbase "$suite" "$work/runtime" "$mirror" >>"$log" 2>&1
  {
    echo "deb $mirror $suite main"
    [ -z "$security_mirror" ] || echo "deb $security_mirror $suite-security main"
  } >"$work/runtime/etc/apt/sources.list"
  in_root "$work/runtime" apt-get update -q
  in_root "$work/runtime" apt-get upgrade -q -y
  import "$runtime_image" "$work/runtime"
}

make_redis() {
  say "$redis_image: installing redis-server"
  local dir=$work/redis
  unpack_runtime "$dir"
  in_root "$dir" useradd --system --uid "$redis_uid" --user-group --no-create-home --home-dir /data redis
  install_into "$dir" redis-server
  install -d -m 0755 -o "$redis_uid" -g "$redis_uid" "$dir/data"
  import "$redis_image" "$dir" "USER $redis_uid" "WORKDIR /data" "VOLUME /data" "EXPOSE 6379" \
    'CMD ["redis-server"]'
}

# What hermod-base-build is made of; kept as a label on it.
build_inputs() { { rustc -vV; cat Cargo.lock; } | sha256sum | cut -d' ' -f1; }

make_build() {
  local dir=$work/build sysroot target cargo_home
  sysroot=$(rustc --print sysroot)
  target=$(rustc -vV | sed -n 's/^host: //p')
  # Of a toolchain that shares its directory with the rest of the system we could not tell what to copy.
  [ "$sysroot" != /usr ] || die "the Rust toolchain must come from rustup, not from the system's packages"

  say "$build_image: installing gcc"
  unpack_runtime "$dir"
  install_into "$dir" gcc libc6-dev ca-certificates

  say "$build_image: copying $(rustc --version)"
  tar -C "$sysroot" --exclude=lib/rustlib/src -c bin/cargo bin/rustc lib | tar -C "$dir/usr/local" --no-same-owner -x

  say "$build_image: fetching crates"
  cargo_home=$dir/usr/local/cargo
  mkdir "$cargo_home"
  # Where this machine's cargo gets crates, when that is not crates.io: the build must look them up by the same name.
  # Nothing else of its configuration: a linker or a wrapper of this machine is not in the image.
  if [ -f "${CARGO_HOME:-$HOME/.cargo}/config.toml" ]; then
    awk '/^\[/ { keep = /^\[+(source|registry|registries)[].]/ } keep' "${CARGO_HOME:-$HOME/.cargo}/config.toml" \
      >"$cargo_home/config.toml"
  fi
  if ! CARGO_HOME=$cargo_home cargo fetch --locked --target "$target" >>"$log" 2>&1; then
    say "$build_image: cannot download; taking the crates that this machine's cargo already has"
    mkdir -p "$cargo_home/registry"
    cp -a "${CARGO_HOME:-$HOME/.cargo}"/registry/{cache,index} "$cargo_home/registry/"
    CARGO_HOME=$cargo_home cargo fetch --locked --offline --target "$target" >>"$log" 2>&1
  fi
  # The packed crates are enough, and a tenth of the files: cargo unpacks them when it builds.
  rm -rf "$cargo_home/registry/src"

  import "$build_image" "$dir" "ENV CARGO_HOME=/usr/local/cargo" "ENV CARGO_NET_OFFLINE=true" \
    "LABEL hermod.inputs=$(build_inputs)"
  # The image that this one replaces, and what was built on it.
  docker image prune -f --filter label=hermod.inputs >>"$log"
}

if exists "$runtime_image"; then say "$runtime_image: kept"; else make_runtime; fi
if exists "$redis_image"; then say "$redis_image: kept"; else make_redis; fi
if [ "$(docker image inspect --format '{{index .Config.Labels "hermod.inputs"}}' "$build_image" 2>/dev/null)" = "$(build_inputs)" ]; then
  say "$build_image: kept"
else
  make_build
fi
