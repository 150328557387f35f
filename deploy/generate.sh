#!/usr/bin/env bash
# Man pages and completions, as the Debian package and the archive carry them, made by the program itself.
#
#   deploy/generate.sh PROGRAM FOLDER
set -euo pipefail
program=$1 folder=$2

rm -rf "$folder/man" "$folder/completions"
mkdir -p "$folder/man" "$folder/completions"
"$program" man "$folder/man"
"$program" completions bash >"$folder/completions/hermod.bash"
"$program" completions zsh >"$folder/completions/_hermod"
"$program" completions fish >"$folder/completions/hermod.fish"
