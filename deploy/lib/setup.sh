# shellcheck shell=sh disable=SC2034 # sourced: some names are for the callers
# Checks what building and running Tidegate needs; as root on Debian or Ubuntu installs and starts what is missing.
# Sourced by deploy/quickstart.sh and tests/run.sh, so that both set up in the same way. POSIX sh and bash.
#
# Callers get: say, good, bad, step_begin, step_end, need_tools, need_rust, need_engine, EXIT_MISSING.

EXIT_MISSING=69 # something that is needed is missing (EX_UNAVAILABLE); everything missing was named

if [ -t 1 ]; then
    BOLD=$(printf '\033[1m') GREEN=$(printf '\033[32m') RED=$(printf '\033[31m') DIM=$(printf '\033[2m') PLAIN=$(printf '\033[0m')
else
    BOLD='' GREEN='' RED='' DIM='' PLAIN=''
fi

say() { printf '%s\n' "$*"; }
good() { printf '%s✔%s %s\n' "$GREEN" "$PLAIN" "$*"; }
bad() { printf '%s✘%s %s\n' "$RED" "$PLAIN" "$*" >&2; }

MISSING=0
# Names one missing thing and how to get it; the caller goes on, so that everything missing is named at once.
missing() { # WHAT HOW
    bad "missing: $1"
    printf '    %s\n' "$2" >&2
    MISSING=$((MISSING + 1))
}

stop_if_missing() {
    [ "$MISSING" -eq 0 ] && return 0
    printf '\n%s thing(s) missing; nothing was changed by the missing ones. Run this again when they are there.\n' "$MISSING" >&2
    exit $EXIT_MISSING
}

is_debian() { [ -r /etc/debian_version ] && command -v apt-get >/dev/null; }
may_install() { is_debian && [ "$(id -u)" -eq 0 ]; }

# Says how a person gets packages, in the words of their system.
how_to_install() { # PACKAGE…
    if is_debian; then
        printf 'sudo apt-get install -y %s' "$*"
    else
        printf 'install with your package manager; on Debian and Ubuntu: apt-get install -y %s' "$*"
    fi
}

APT_UPDATED=no
# Installs packages, as root on Debian or Ubuntu.
apt_install() { # PACKAGE…
    if [ "$APT_UPDATED" = no ]; then
        say "  ${DIM}apt-get update${PLAIN}"
        apt-get update -qq >/dev/null || say "  apt-get update failed; trying with the package lists at hand"
        APT_UPDATED=yes
    fi
    say "  ${DIM}apt-get install $*${PLAIN}"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"${TMPDIR:-/tmp}/tidegate-apt.$$" 2>&1 || {
        tail -n 20 "${TMPDIR:-/tmp}/tidegate-apt.$$" >&2
        rm -f "${TMPDIR:-/tmp}/tidegate-apt.$$"
        return 1
    }
    rm -f "${TMPDIR:-/tmp}/tidegate-apt.$$"
}

has_openssl_headers() { pkg-config --exists openssl 2>/dev/null; }
has_c_compiler() { command -v cc >/dev/null && command -v "${CC:-cc}" >/dev/null && [ -e /usr/include/stdlib.h ]; }

# The tools of a build: C compiler (bundled libgit2 and SQLite), pkg-config and OpenSSL headers (git over https and ssh), git, curl.
need_tools() {
    wanted=''
    has_c_compiler || wanted="$wanted build-essential"
    command -v pkg-config >/dev/null || wanted="$wanted pkg-config"
    has_openssl_headers || wanted="$wanted libssl-dev"
    command -v git >/dev/null || wanted="$wanted git"
    command -v curl >/dev/null || wanted="$wanted curl ca-certificates"
    if [ -n "$wanted" ] && may_install; then
        # shellcheck disable=SC2086 # a list of package names
        apt_install $wanted || bad "apt-get could not install:$wanted"
    fi
    if has_c_compiler; then good "C compiler ($(cc --version | head -n 1))"; else missing "a C compiler" "$(how_to_install build-essential)"; fi
    if command -v pkg-config >/dev/null; then good "pkg-config"; else missing "pkg-config" "$(how_to_install pkg-config)"; fi
    if has_openssl_headers; then good "OpenSSL headers ($(pkg-config --modversion openssl))"; else missing "OpenSSL headers" "$(how_to_install libssl-dev)"; fi
    if command -v git >/dev/null; then good "$(git --version)"; else missing "git" "$(how_to_install git)"; fi
    if command -v curl >/dev/null; then good "curl"; else missing "curl" "$(how_to_install curl ca-certificates)"; fi
}

# The Rust toolchain: never installed here, because how a machine gets its Rust is its owner's choice.
need_rust() { # REPOSITORY_ROOT
    rust_needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$1/Cargo.toml")
    rust_how="install it from https://rustup.rs: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal && . \"\$HOME/.cargo/env\""
    [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ] && PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin" && export PATH
    if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
        missing "a Rust toolchain, $rust_needed or newer" "$rust_how"
        return 0
    fi
    rust_here=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
    if [ "$(printf '%s\n%s\n' "$rust_needed" "${rust_here%%-*}" | sort -V | head -n 1)" = "$rust_needed" ]; then
        good "Rust $rust_here (needed: $rust_needed)"
    elif command -v rustup >/dev/null; then
        missing "Rust $rust_needed or newer (here: ${rust_here:-none})" "rustup update stable && rustup default stable"
    else
        missing "Rust $rust_needed or newer (here: $rust_here)" "$rust_how"
    fi
}

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Docker Engine: its command line and a running daemon that this user may talk to.
need_engine() {
    if ! command -v docker >/dev/null && may_install; then
        engine_packages=docker.io
        # Newer Debian releases ship the command line apart from the daemon.
        apt-cache show docker-cli >/dev/null 2>&1 && engine_packages="$engine_packages docker-cli"
        # shellcheck disable=SC2086 # a list of package names
        apt_install $engine_packages iptables || bad "apt-get could not install: $engine_packages"
    fi
    if ! command -v docker >/dev/null; then
        missing "Docker Engine" "$(how_to_install docker.io), or https://docs.docker.com/engine/install/"
        return 0
    fi
    engine_answers || start_engine
    if engine_answers; then
        good "Docker Engine $(docker version --format '{{.Server.Version}}, API {{.Server.APIVersion}}')"
    elif [ "$(id -u)" -ne 0 ] && [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ]; then
        missing "the right to use the Docker Engine" "sudo usermod -aG docker \"\$USER\", then log in again (a member of that group is as good as root on this machine)"
    else
        missing "a running Docker Engine" "start it: sudo systemctl start docker (or, without systemd, sudo dockerd)"
    fi
}

# Starts the daemon, with systemd where it runs, otherwise by itself.
start_engine() {
    [ "$(id -u)" -eq 0 ] && [ -z "${DOCKER_HOST:-}" ] && command -v dockerd >/dev/null || return 0
    say "  starting the Docker Engine"
    if [ -d /run/systemd/system ]; then
        systemctl start docker || true
    else
        # A pid file left over from a machine that was cut off keeps dockerd from starting.
        [ -r /var/run/docker.pid ] && ! kill -0 "$(cat /var/run/docker.pid)" 2>/dev/null && rm -f /var/run/docker.pid
        (cd / && setsid nohup dockerd >/var/log/dockerd.log 2>&1 </dev/null &)
    fi
    engine_tries=0
    until engine_answers || [ $engine_tries -ge 60 ]; do
        engine_tries=$((engine_tries + 1))
        sleep 0.5
    done
    engine_answers || { [ -r /var/log/dockerd.log ] && tail -n 5 /var/log/dockerd.log >&2; } || true
}
