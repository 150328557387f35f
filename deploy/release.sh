#!/usr/bin/env bash
# Makes all that a release has, in dist/:
#
#   hermod-VERSION-TARGET.tar.gz    the program, man pages, completions, systemd units, docs
#   hermod_VERSION_ARCH.deb         the same as a Debian package
#   hermod-VERSION.cdx.json         the crates that it is made of (CycloneDX)
#   SHA256SUMS
#
#   deploy/release.sh [FOLDER]      dist unless given
#
# The program carries its own list of crates, which `cargo audit bin` and scanners of images read. The version is that of Cargo.toml.
# No path and no time of this machine goes into the files.
#
# Needs cargo-auditable, cargo-cyclonedx and cargo-deb. Those that are missing are installed into target/tools (some minutes, once);
# HERMOD_RELEASE_WITHOUT_TOOLS=1 leaves out what they would make instead. HERMOD_CARGO_FLAGS has more arguments for `cargo build`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The versions that this was tried with.
readonly auditable=0.7.7 cyclonedx=0.5.9 deb=3.8.0

dist=${1:-dist}
say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

version=$(cargo pkgid -p hermod | sed 's/.*[#@]//')
target=$(rustc -vV | sed -n 's/^host: //p')
# The time of everything in an archive: that of the commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH CARGO_INCREMENTAL=0 LC_ALL=C TZ=UTC
say "hermod $version, $(git describe --always --dirty), $target"
grep -q "^## \[$version\]\|^## \[Unreleased\]" CHANGELOG.md || { echo "CHANGELOG.md says nothing of $version" >&2; exit 1; }
[ -z "$(git status --porcelain)" ] || say "warning: the working tree has changes"

# has TOOL VERSION: whether a tool is there, installed if need be.
PATH=$PWD/target/tools/bin:$PATH
has() {
  command -v "$1" >/dev/null && return
  [ -z "${HERMOD_RELEASE_WITHOUT_TOOLS:-}" ] || { say "without $1"; return 1; }
  say "installing $1 $2"
  cargo install --quiet --locked --root target/tools --target-dir target/tools-build --version "$2" "$1"
}

build=(build)
if has cargo-auditable "$auditable"; then build=(auditable build); fi
# No path of this machine in the program.
remap="--remap-path-prefix=$PWD=/hermod --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$(rustc --print sysroot)=/rust"
say "cargo ${build[*]}"
# shellcheck disable=SC2086
RUSTFLAGS="${RUSTFLAGS:-} $remap" CFLAGS="${CFLAGS:-} -ffile-prefix-map=$PWD=/hermod -ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
  cargo "${build[@]}" --release --locked --bin hermod -p hermod ${HERMOD_CARGO_FLAGS:-}
deploy/generate.sh target/release/hermod target/package

rm -rf "$dist"
mkdir -p "$dist"
name=hermod-$version-$target
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage/$name"
install -m 755 target/release/hermod "$stage/$name/"
cp -r target/package/man target/package/completions "$stage/$name/"
mkdir "$stage/$name/deploy"
cp -r deploy/systemd deploy/redis.conf "$stage/$name/deploy/"
cp README.md CHANGELOG.md "$stage/$name/"
cp -r docs "$stage/$name/docs"
find "$stage" -type f ! -name hermod -exec chmod 644 {} +
tar -C "$stage" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go-w -cf - "$name" |
  gzip -n9 >"$dist/$name.tar.gz"
say "$name.tar.gz"

if has cargo-deb "$deb"; then
  # The same program as in the archive: not built again, and not changed.
  cargo deb --quiet --no-build --no-strip -p hermod --output "$dist/"
  say "$(basename "$dist"/*.deb)"
fi
if has cargo-cyclonedx "$cyclonedx"; then
  # It writes beside the manifest of each crate of the workspace, and the paths of this machine.
  cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --override-filename hermod.cdx --target "$target" \
    --manifest-path crates/hermod/Cargo.toml
  sed "s#$PWD#/hermod#g" crates/hermod/hermod.cdx.json >"$dist/hermod-$version.cdx.json"
  rm -f crates/*/hermod.cdx.json tests/hermod.cdx.json
  say "hermod-$version.cdx.json: $(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["components"]))' "$dist/hermod-$version.cdx.json") crates"
fi
(cd "$dist" && sha256sum -- * >"$stage/SHA256SUMS" && mv "$stage/SHA256SUMS" .)
cat "$dist/SHA256SUMS"
