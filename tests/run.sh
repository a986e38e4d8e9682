#!/usr/bin/env bash
# Sets up what the tests need and runs the whole suite.
#
#   tests/run.sh [ARGUMENTS FOR THE TEST RUNNER]      e.g. tests/run.sh -E 'test(deploy)'
#
# As root on Debian or Ubuntu it installs and starts what is missing (tests/packages.txt and deploy/lib/setup.sh);
# otherwise it names each missing thing and stops with 69. Uses cargo-nextest where it is installed, else `cargo test`.
# Exit code: the runner's. Containers, networks, volumes, images and processes of the run are removed at the end, also
# after a failure.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
# shellcheck source=deploy/lib/setup.sh
. deploy/lib/setup.sh

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
# Everything that the tests make on the engine has this in its labels: it is swept at the end.
TIDEGATE_TEST_RUN=${TIDEGATE_TEST_RUN:-t$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')}
export TIDEGATE_TEST_RUN
# How long the fuzzer of the reader looks (shared/core/tests/fuzz.rs), beside the other tests.
export TIDEGATE_FUZZ_SECS=${TIDEGATE_FUZZ_SECS:-60}
CACHE=$CARGO_TARGET_DIR/test-cache

# --- packages that only the tests use

packages_missing() {
    local line name
    while read -r line; do
        line=${line%%#*}
        line=$(tr -d '[:space:]' <<<"$line")
        [ -z "$line" ] && continue
        name=${line%%|*}
        is_installed "$name" || is_installed "${line##*|}" || {
            apt-cache show "$name" >/dev/null 2>&1 || name=${line##*|}
            printf '%s\n' "$name"
        }
    done <tests/packages.txt
}
is_installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

need_test_packages() {
    is_debian || {
        missing "the packages in tests/packages.txt, under the names of your system" "the tests are run on Debian and Ubuntu"
        return 0
    }
    local wanted
    mapfile -t wanted < <(packages_missing)
    if [ ${#wanted[@]} -gt 0 ] && may_install; then
        without_starting_services apt_install "${wanted[@]}" || bad "apt-get could not install: ${wanted[*]}"
        mapfile -t wanted < <(packages_missing)
    fi
    if [ ${#wanted[@]} -gt 0 ]; then
        missing "packages for the tests: ${wanted[*]}" "$(how_to_install "${wanted[@]}")"
    else
        good "packages in tests/packages.txt"
    fi
}

# The tests start their own registry and their own sshd; the packages' services need not run.
without_starting_services() { # COMMAND…
    local policy=/usr/sbin/policy-rc.d made=no code=0
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=yes
    fi
    "$@" || code=$?
    [ $made = no ] || rm -f $policy
    return $code
}

# axe-core as one file, from the Python package that carries it.
AXE_PACKAGE=axe-playwright-python==0.1.8
need_axe() {
    export TIDEGATE_TEST_AXE=$CACHE/${AXE_PACKAGE//=/-}.min.js
    if [ ! -s "$TIDEGATE_TEST_AXE" ]; then
        local wheels=$CACHE/wheels
        mkdir -p "$wheels"
        if python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$wheels" "$AXE_PACKAGE" >/dev/null 2>&1; then
            python3 - "$wheels" "$TIDEGATE_TEST_AXE" <<'PYTHON'
import glob, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0])
name = next(n for n in wheel.namelist() if n.endswith("axe.min.js"))
open(sys.argv[2], "wb").write(wheel.read(name))
PYTHON
        fi
    fi
    if [ -s "$TIDEGATE_TEST_AXE" ]; then good "axe-core"; else missing "axe-core" "python3 -m pip download --no-deps $AXE_PACKAGE must work"; fi
}

# discord.py, the second client of the server that speaks Discord; with what it needs, in a folder of its own.
DISCORD_PY=discord.py==2.7.1
need_discord_py() {
    export TIDEGATE_TEST_DISCORD_PY=$CACHE/${DISCORD_PY/==/-}
    if [ ! -d "$TIDEGATE_TEST_DISCORD_PY" ]; then
        local half=$TIDEGATE_TEST_DISCORD_PY.half
        rm -rf "$half"
        # Whole or not at all: an interrupted download is begun again.
        if python3 -m pip install --quiet --no-compile --disable-pip-version-check --root-user-action=ignore --target "$half" "$DISCORD_PY" >/dev/null 2>&1; then
            mv "$half" "$TIDEGATE_TEST_DISCORD_PY"
        fi
    fi
    if [ -d "$TIDEGATE_TEST_DISCORD_PY" ]; then good "discord.py"; else missing "discord.py" "python3 -m pip install --target DIR $DISCORD_PY must work"; fi
}

# icalendar, which reads our calendar feeds independently of the crate that writes them; with what it needs, each pinned.
ICALENDAR=(icalendar==6.3.1 python-dateutil==2.9.0.post0 six==1.17.0 tzdata==2025.2)
need_icalendar() {
    export TIDEGATE_TEST_ICALENDAR=$CACHE/${ICALENDAR[0]/==/-}
    if [ ! -d "$TIDEGATE_TEST_ICALENDAR" ]; then
        local half=$TIDEGATE_TEST_ICALENDAR.half
        rm -rf "$half"
        if python3 -m pip install --quiet --no-compile --no-deps --disable-pip-version-check --root-user-action=ignore --target "$half" "${ICALENDAR[@]}" >/dev/null 2>&1; then
            mv "$half" "$TIDEGATE_TEST_ICALENDAR"
        fi
    fi
    if [ -d "$TIDEGATE_TEST_ICALENDAR" ]; then good "icalendar"; else missing "icalendar" "python3 -m pip install --target DIR ${ICALENDAR[*]} must work"; fi
}

# --- what the run leaves behind

sweep() {
    local id label kind
    for kind in container network volume; do
        while read -r id label; do
            [[ $label == *"$TIDEGATE_TEST_RUN"* ]] || continue
            case $kind in
            container) docker rm -f -v "$id" >/dev/null 2>&1 || true ;;
            *) docker $kind rm "$id" >/dev/null 2>&1 || true ;;
            esac
            printf '  left over and removed: %s %s\n' "$kind" "$id"
        done < <(leftovers $kind)
    done
    for id in $(docker image ls --quiet --filter "label=tidegate.test=$TIDEGATE_TEST_RUN" | sort -u); do
        docker image rm -f "$id" >/dev/null 2>&1 || true
    done
}

# What agents made carries their scope, with a host's name that has the run in it; what docker-compose made carries its
# project's name; the rest carries tidegate.test.
leftovers() { # KIND
    local key id='{{.ID}}' list="docker $1 ls"
    [ "$1" = container ] && list='docker container ls --all'
    [ "$1" = volume ] && id='{{.Name}}'
    for key in tidegate.test tidegate.scope com.docker.compose.project; do
        $list --filter "label=$key" --format "$id {{.Label \"$key\"}}" 2>/dev/null || true
    done
}

STAGE_NAME='' STAGE_BEGAN=0
stage() { # NAME
    [ -z "$STAGE_NAME" ] || printf '%s%s took %s s%s\n' "$DIM" "$STAGE_NAME" $((SECONDS - STAGE_BEGAN)) "$PLAIN"
    STAGE_NAME=$1 STAGE_BEGAN=$SECONDS
    [ -z "$1" ] || printf '%s── %s%s\n' "$BOLD" "$1" "$PLAIN"
}

at_end() {
    local code=$?
    trap - EXIT
    stage 'cleaning up'
    sweep
    stage ''
    if [ $code -eq 0 ]; then good "tests passed in $SECONDS s"; else bad "tests failed (exit code $code) after $SECONDS s"; fi
    exit $code
}

# --- the run

stage 'what the tests need'
need_tools
need_rust "$ROOT"
need_engine
need_test_packages
mkdir -p "$CACHE"
need_axe
need_discord_py
need_icalendar
stop_if_missing
trap at_end EXIT
trap 'exit 130' INT TERM

stage 'demo images'
deploy/demo/build-images.sh

stage 'build'
# Everything at once, so that each crate is built once and the end-to-end tests find the two programs.
cargo build --workspace --all-targets --locked
export TIDEGATE_TEST_BIN_DIR=$CARGO_TARGET_DIR/debug

stage 'tests'
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --locked --no-fail-fast "$@"
else
    cargo test --workspace --locked --no-fail-fast "$@"
fi
