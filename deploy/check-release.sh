#!/usr/bin/env bash
# Checks what a release is made of, without a release build: the version, systemd units, man pages, completions, the Debian package and
# its scripts. It takes some seconds. What needs a tool that is missing is skipped, and said.
#
#   deploy/check-release.sh [PROGRAM]      target/release/hermod, or target/debug/hermod
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*"; }
die() { printf 'release check: failed: %s\n' "$*" >&2; exit 1; }
skip() { printf 'skipped: %s\n' "$*"; }
has() { command -v "$1" >/dev/null; }

program=${1:-}
for candidate in target/release/hermod target/debug/hermod; do
  [ -n "$program" ] || [ ! -x "$candidate" ] || program=$candidate
done
[ -n "$program" ] || die "there is no program; \`cargo build\` makes one"
program=$(realpath "$program")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PATH=$PWD/target/tools/bin:$PATH

# --- Version -------------------------------------------------------------------------------------------

version=$(cargo pkgid --offline -p hermod | sed 's/.*[#@]//')
said=$("$program" --version)
[ "$said" = "hermod $version" ] || die "$program says \`$said\`, Cargo.toml $version"
grep -q "^## \[$version\]\|^## \[Unreleased\]" CHANGELOG.md || die "CHANGELOG.md says nothing of $version"
say "version $version"

# --- systemd -------------------------------------------------------------------------------------------

if has systemd-analyze; then
  # With the program that is here: what is verified is not installed.
  mkdir "$work/units"
  for unit in deploy/systemd/*.service; do
    sed "s#/usr/bin/hermod#$program#" "$unit" >"$work/units/$(basename "$unit")"
  done
  for unit in "$work"/units/*.service; do
    problems=$(systemd-analyze verify --man=no --recursive-errors=no "$unit" 2>&1) || die "$(basename "$unit"): $problems"
    [ -z "$problems" ] || die "$(basename "$unit"): $problems"
    # Exposure of 10.0 is a service without any restriction; the threshold is ten times that.
    systemd-analyze security --offline=true --no-pager --threshold=20 "$unit" >"$work/exposure" ||
      die "$(tail -n 1 "$work/exposure")"
    say "$(tail -n 1 "$work/exposure" | sed 's/[^ -~]//g; s/^ *//; s/ *$//')"
  done
else
  skip "systemd units: systemd-analyze is not installed"
fi

# --- Man pages -----------------------------------------------------------------------------------------

deploy/generate.sh "$program" "$work/package"
pages=("$work"/package/man/*.1)
if has groff; then
  warnings=$(groff -k -K utf8 -man -Tutf8 -ww -z "${pages[@]}" 2>&1) || die "man pages: $warnings"
  [ -z "$warnings" ] || die "man pages: $warnings"
  say "${#pages[@]} man pages, without a warning of groff"
else
  skip "man pages: groff is not installed"
fi
if has mandoc; then
  errors=$(mandoc -T lint -W error "${pages[@]}" 2>&1) || die "man pages: $errors"
fi

# --- Completions ---------------------------------------------------------------------------------------

# completes WORDS EXPECTED: what bash offers after these words.
completes() {
  local offered
  offered=$(bash -euc 'source "$1"; shift; COMP_WORDS=(hermod "$@"); COMP_CWORD=$#
    _hermod hermod "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; echo "${COMPREPLY[*]}"' \
    bash "$work/package/completions/hermod.bash" "${@:2}")
  case " $offered " in *" $1 "*) ;; *) die "bash completes \`hermod ${*:2}\` with: $offered" ;; esac
}
completes worker w
completes --concurrency worker --c
completes requeue queue dead r
say "completions of bash"
if has zsh; then zsh -n "$work/package/completions/_hermod" || die "completions of zsh"; say "completions of zsh"; else skip "completions of zsh: it is not installed"; fi
if has fish; then fish -n "$work/package/completions/hermod.fish" || die "completions of fish"; say "completions of fish"; else skip "completions of fish: it is not installed"; fi

# --- What the package holds ----------------------------------------------------------------------------

OPENAI_API_KEY=x "$program" config check deploy/debian/config.json >"$work/config" || { cat "$work/config"; die "the example of config.json"; }
for script in deploy/debian/{postinst,prerm,postrm}; do sh -n "$script" || die "$script"; done
for script in deploy/*.sh .ci/run; do bash -n "$script" || die "$script"; done
if has shellcheck; then
  shellcheck -S warning deploy/debian/{postinst,prerm,postrm} deploy/{release,generate,check-release}.sh || die "shellcheck"
fi
# Each file that the manifest names is there; what the program makes itself is above.
python3 - <<'END' || die "crates/hermod/Cargo.toml: package.metadata.deb"
import glob, sys, tomllib
manifest = tomllib.load(open("crates/hermod/Cargo.toml", "rb"))["package"]["metadata"]["deb"]
generated = ("target/release/", "../../target/package/")
sources = [source for source, _, _ in manifest["assets"] if not source.startswith(generated)]
missing = [source for source in sources if not glob.glob("crates/hermod/" + source)]
targets = {"/" + target + source.rsplit("/", 1)[-1] for source, target, _ in manifest["assets"]}
missing += [file for file in manifest["conf-files"] if file not in targets]
print("\n".join(f"{name} is missing" for name in missing), file=sys.stderr, end="\n" if missing else "")
sys.exit(bool(missing))
END

if has cargo-deb; then
  profile=$(basename "$(dirname "$program")")
  rm -rf target/package
  mkdir -p target/package
  cp -r "$work"/package/* target/package/
  # The program as it is: what is checked is the package around it.
  ln -f "$program" "$work/hermod"
  cargo deb --quiet --offline --no-build --no-strip --fast -p hermod --profile "${profile/debug/dev}" --output "$work/hermod.deb"
  dpkg-deb --info "$work/hermod.deb" | sed -n 's/^ \(Package\|Version\|Architecture\|Depends\|Recommends\|Installed-Size\)/  \1/p'
  # In a root of its own: the files, the settings that dpkg keeps, and that a purge leaves nothing.
  root=$work/root
  mkdir -p "$root"
  dpkg-deb --extract "$work/hermod.deb" "$root"
  dpkg-deb --control "$work/hermod.deb" "$work/control"
  [ "$("$root/usr/bin/hermod" --version)" = "hermod $version" ] || die "the packaged program"
  for file in /etc/hermod/config.json /etc/hermod/hermod.env /etc/hermod/api.env /etc/hermod/worker.env; do
    grep -qx "$file" "$work/control/conffiles" || die "$file is no conffile"
    [ "$(stat -c %a "$root$file")" = 600 ] || die "$file can be read by others"
  done
  for file in usr/lib/systemd/system/hermod-api.service usr/lib/systemd/system/hermod-worker@.service \
    usr/share/man/man1/hermod-worker.1.gz usr/share/bash-completion/completions/hermod; do
    [ -f "$root/$file" ] || die "$file is not in the package"
  done
  say "Debian package: $(find "$root" -type f | wc -l) files"
else
  skip "building the Debian package: cargo-deb is not installed"
fi

say "release check: passed in ${SECONDS}s"
