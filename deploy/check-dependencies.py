#!/usr/bin/env python3
"""Licences, banned crates and sources of the crates in Cargo.lock, by the rules of deny.toml: what `cargo deny check bans licenses
sources` checks, for machines where cargo-deny is not installed. It knows no advisories, duplicates and wildcards.

    deploy/check-dependencies.py
"""
import re
import subprocess
import sys
import tomllib

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def is_allowed(expression, allowed):
    """Whether the licences that are allowed satisfy an SPDX expression. A slash is an old form of OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def peek():
        return tokens[position] if position < len(tokens) else None

    def take():
        nonlocal position
        position += 1
        return tokens[position - 1]

    def one():
        if peek() == "(":
            take()
            value = either()
            take()
            return value
        name = take()
        if peek() == "WITH":
            name = f"{name} {take()} {take()}"
        return name in allowed

    def both():
        value = one()
        while peek() == "AND":
            take()
            value = one() and value
        return value

    def either():
        value = both()
        while peek() == "OR":
            take()
            value = both() or value
        return value

    return either() and peek() is None


def built(targets):
    """Name, version and licence of all crates that are built for one of the targets, those of the workspace included."""
    command = ["cargo", "tree", "--workspace", "--all-features", "--locked", "--prefix", "none", "--no-dedupe"]
    command += ["--format", "{p}\t{l}"] + [part for target in targets for part in ("--target", target)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    for line in sorted({line for line in lines if line}):
        package, licence = line.split("\t")
        name, version = package.split()[:2]
        yield name, version.removeprefix("v"), licence


def main():
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    with open("Cargo.lock", "rb") as file:
        locked = {(one["name"], one["version"]): one.get("source") for one in tomllib.load(file)["package"]}
    allowed = set(rules["licenses"]["allow"])
    banned = {ban["name"]: ban["reason"] for ban in rules["bans"]["deny"]}
    wrong, count = [], 0
    for name, version, licence in built(rules["graph"]["targets"]):
        source = locked[name, version]
        if source is None:
            continue  # Of the workspace.
        count += 1
        if source != CRATES_IO:
            wrong.append(f"{name} {version}: comes from {source}")
        if name in banned:
            wrong.append(f"{name} {version}: banned: {banned[name]}")
        if not is_allowed(licence or "no-licence", allowed):
            wrong.append(f"{name} {version}: licence {licence}")
    print("\n".join(wrong) or f"{count} crates: licences, bans and sources are as deny.toml says")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
