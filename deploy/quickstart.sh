#!/usr/bin/env bash
# A whole Tidegate on this machine in one command: a config repo, two agents, the bot with its page, and a shop to release.
#
#   deploy/quickstart.sh            sets everything up and stays, for you to play with; Ctrl-C stops agents and bot
#   deploy/quickstart.sh --script   plays the whole story by itself and checks every step
#   deploy/quickstart.sh --clean    removes everything it made
#
# Everything listens on 127.0.0.1 only, and everything it makes lies in one folder, ${TIDEGATE_DEMO_DIR:-.quickstart},
# and on the Docker Engine. Started again, it begins afresh.
#
# Exit codes: 0 all went as told, 1 something did not (it says what), 64 wrong usage, 69 something needed is missing
# (each thing was named, with how to get it), 130 stopped with Ctrl-C before everything ran.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/lib/setup.sh
. "$ROOT/deploy/lib/setup.sh"

DEMO=${TIDEGATE_DEMO_DIR:-$PWD/.quickstart}
case $DEMO in /*) ;; *) DEMO=$PWD/$DEMO ;; esac
# The programs refuse variables with their prefix that they do not know.
unset TIDEGATE_DEMO_DIR
# The unoptimised build: ready in half the time, and fast enough for a demo.
PROFILE=dev
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
TIDEGATE=$TARGET/debug/tidegate
BOT=$TARGET/debug/tidegate-bot
# Marks the folder as ours: --clean removes nothing else.
MARKER=.made-by-tidegate-quickstart
IMAGES=tidegate-demo/app
CHECKOUT=$DEMO/config

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

# --- the demo's files and programs

# A string from the JSON that `tidegate init demo` printed, one value per line.
from_demo() { # KEY
    sed -n "s/^ *\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" "$DEMO/demo.json"
}

make_demo() {
    mkdir -p "$DEMO/log" "$DEMO/pid"
    touch "$DEMO/$MARKER"
    "$TIDEGATE" init demo "$DEMO" --output json >"$DEMO/demo.json"
    REPO=$(from_demo repo)
    STAGING_WEB=$(from_demo staging_web) PRODUCTION_WEB=$(from_demo production_web)
    STAGING_URL=$(from_demo staging_agent) PRODUCTION_URL=$(from_demo production_agent)
    PAGE=$(from_demo bot)
    STAGING_CONFIG=$(from_demo staging_config) PRODUCTION_CONFIG=$(from_demo production_config) BOT_CONFIG=$(from_demo bot_config)
    git clone --quiet "$REPO" "$CHECKOUT"
    git -C "$CHECKOUT" config user.name 'Alice Example'
    git -C "$CHECKOUT" config user.email alice@example.org
    git -C "$CHECKOUT" config commit.gpgsign false
}

start_program() { # NAME URL COMMAND…
    local name=$1 url=$2
    shift 2
    setsid "$@" >>"$DEMO/log/$name.log" 2>&1 </dev/null &
    echo $! >"$DEMO/pid/$name"
    local began=$SECONDS
    until curl -fsS -o /dev/null --max-time 2 "$url/healthz" 2>/dev/null; do
        if ! is_running "$name" || [ $((SECONDS - began)) -ge 20 ]; then
            bad "$name does not answer at $url; it said last:"
            tail -n 15 "$DEMO/log/$name.log" >&2
            return 1
        fi
        sleep 0.1
    done
    good "$name at $url"
}

start_programs() {
    start_program bot "$PAGE" "$BOT" --config "$BOT_CONFIG"
    start_program agent-staging "$STAGING_URL" "$TIDEGATE" agent --config "$STAGING_CONFIG"
    start_program agent-production "$PRODUCTION_URL" "$TIDEGATE" agent --config "$PRODUCTION_CONFIG"
}

# Is the process of that name ours and alive? A number in a file may belong to somebody else by now.
is_running() { # NAME
    local id
    id=$(cat "$DEMO/pid/$1" 2>/dev/null) || return 1
    { tr '\0' ' ' <"/proc/$id/cmdline" | grep -qF "$DEMO"; } 2>/dev/null
}

stop_programs() {
    local file name
    for file in "$DEMO"/pid/*; do
        [ -e "$file" ] || continue
        name=$(basename "$file")
        if is_running "$name"; then
            kill "$(cat "$file")" 2>/dev/null || true
            local asked=$SECONDS
            while is_running "$name" && [ $((SECONDS - asked)) -lt 35 ]; do sleep 0.1; done
            is_running "$name" && kill -9 "$(cat "$file")" 2>/dev/null
        fi
        rm -f "$file"
    done
}

# The engine's objects carry the scope of the agent that made them: <environment>/<host>.
scopes() { sed -n 's/^ *"\(staging\|production\)_host": *"\(.*\)",\{0,1\}$/tidegate.scope=\1\/\2/p' "$DEMO/demo.json" 2>/dev/null || true; }

remove_objects() {
    local scope id
    for scope in $(scopes); do
        for id in $(docker ps -aq --filter "label=$scope"); do docker rm -f -v "$id" >/dev/null || true; done
        for id in $(docker network ls -q --filter "label=$scope"); do docker network rm "$id" >/dev/null || true; done
        for id in $(docker volume ls -q --filter "label=$scope"); do docker volume rm "$id" >/dev/null || true; done
    done
}

# The demo's hosts have fixed names, so that one engine bears one demo at a time: what one from another folder left is
# removed, and one that still runs is left alone.
make_room() {
    local other scope id
    # The path in the pattern's brackets keeps pgrep from finding this line.
    other=$(pgrep -af '[t]idegate agent --config .*/agent-(staging|production)\.toml' | head -n 1 || true)
    if [ -n "$other" ]; then
        bad "another demo runs on this machine: $other"
        say "    Stop it with Ctrl-C where it was started, or with TIDEGATE_DEMO_DIR=its folder deploy/quickstart.sh --clean."
        exit 1
    fi
    for scope in $(scopes); do
        for id in $(docker ps -aq --filter "label=$scope"); do
            docker rm -f -v "$id" >/dev/null && say "  removed a container of a demo from another folder: $id"
        done
    done
    remove_objects
}

# Stops and removes a demo from before, if there is one.
remove_demo() {
    [ -d "$DEMO" ] || return 0
    if [ ! -e "$DEMO/$MARKER" ]; then
        bad "$DEMO is not empty and was not made by this script; set TIDEGATE_DEMO_DIR to another folder"
        exit 1
    fi
    stop_programs
    remove_objects
    rm -rf "$DEMO"
}

clean() {
    if [ ! -d "$DEMO" ]; then
        say "There is no demo at $DEMO."
    else
        remove_demo
        good "stopped agents and bot; removed containers, networks, volumes and $DEMO"
    fi
    local version
    for version in 1 2 3; do docker image rm "$IMAGES:$version" >/dev/null 2>&1 || true; done
    good "removed the images $IMAGES:1, :2 and :3"
    say "What remains is the build in $TARGET (cargo clean removes it) and whatever packages were installed."
}

# --- what the story says and sees

# Changes the version of the shop in the config repo, as Alice.
merge_version() { # VERSION
    git -C "$CHECKOUT" pull --quiet --rebase
    sed -i "s|image: $IMAGES:[0-9]*|image: $IMAGES:$1|" "$CHECKOUT/stacks/shop/compose.yaml"
    git -C "$CHECKOUT" commit --quiet --all --message "Shop: version $1"
    git -C "$CHECKOUT" push --quiet
}

# What a person says in the chat console of the page; what came of it, as text.
chat() { # PERSON LINE
    curl -fsS --max-time 40 -b "tidegate-person=$1" -H 'tidegate-live: 1' --data-urlencode "text=$2" "$PAGE/say" |
        sed -e 's/<a [^>]*data-dismiss[^>]*>[^<]*<[/]a>//g' -e 's/<[^>]*>//g' -e 's/&quot;/"/g' -e "s/&#39;/'/g" -e 's/  */ /g'
    echo
}

serves() { [ "$(curl -fsS --max-time 2 "$1/" 2>/dev/null)" = "$2" ]; } # URL VERSION

# Does the page's snapshot hold a card of that environment at that stage?
card_is() { # ENVIRONMENT STAGE
    curl -fsS --max-time 5 "$PAGE/api/view" 2>/dev/null |
        grep -Eq "\"environment\":\"$1\",\"release\":[0-9]+,\"kind\":\"[a-z_]+\",\"stage\":\"$2\""
}

lock_has() { # ENVIRONMENT TEXT
    git -C "$CHECKOUT" fetch --quiet && git -C "$CHECKOUT" show "origin/main:releases/$1.yaml" 2>/dev/null | grep -q -- "$2"
}

LAST_MS=0 FIRST_MS=0
now_ms() { date +%s%3N; }

# Waits until a condition holds; prints how long it took, or what is wrong and the last words of all programs.
seen() { # DEADLINE_SECONDS WHAT CONDITION…
    local limit=$1 what=$2 began
    shift 2
    began=$(now_ms)
    until "$@"; do
        if [ $(($(now_ms) - began)) -ge $((limit * 1000)) ]; then
            bad "not seen within $limit s: $what"
            last_words
            exit 1
        fi
        sleep 0.1
    done
    local now
    now=$(now_ms)
    good "$(printf '%-72s %6.1f s' "$what" "$(((now - LAST_MS + 50) / 100))e-1")"
    LAST_MS=$now
}

last_words() {
    local file
    for file in "$DEMO"/log/*.log; do
        printf '%s── %s\n%s' "$BOLD" "$file" "$PLAIN" >&2
        tail -n 25 "$file" >&2
    done
    docker ps -a --filter "label=tidegate.scope" --format '{{.Names}}  {{.Image}}  {{.Status}}' >&2
}

step() { printf '\n%s%s%s\n' "$BOLD" "$*" "$PLAIN"; }

# --- the story

story() {
    FIRST_MS=$(now_ms) LAST_MS=$FIRST_MS
    step "1. Version 1 goes out"
    seen 60 "staging needs nobody's approval: it serves version 1" serves "$STAGING_WEB" 1
    seen 30 "production is announced and waits for an approval" card_is production needs_approval
    say "  bob: approve production → $(chat bob 'approve production')"
    seen 60 "production serves version 1" serves "$PRODUCTION_WEB" 1
    seen 30 "its card says that it is live" card_is production live

    step "2. Version 2 is merged"
    merge_version 2
    LAST_MS=$(now_ms)
    seen 60 "staging serves version 2" serves "$STAGING_WEB" 2
    seen 30 "production is announced and waits" card_is production needs_approval
    serves "$PRODUCTION_WEB" 1 || { bad "production does not serve version 1 while version 2 waits"; exit 1; }
    say "  bob: approve production → $(chat bob 'approve production')"
    LAST_MS=$(now_ms)
    seen 60 "production serves version 2" serves "$PRODUCTION_WEB" 2
    seen 30 "its card says that it is live" card_is production live

    step "3. Something is wrong with version 2: rollback in chat"
    LAST_MS=$(now_ms)
    say "  bob: rollback shop production → $(chat bob 'rollback shop production the prices are wrong')"
    seen 60 "production serves version 1 again" serves "$PRODUCTION_WEB" 1
    seen 30 "git says so: a rollback, and a hold on version 2" lock_has production 'kind: rollback'
    seen 5 "held until somebody resumes it" lock_has production 'holds:'
    stays_at 5 "version 2 stays out although it is still what main says" 1

    step "4. Version 3 is merged, and never gets healthy"
    merge_version 3
    LAST_MS=$(now_ms)
    seen 120 "staging tried it: failed, rolled back" card_is staging failed_rolled_back
    seen 30 "staging serves version 2" serves "$STAGING_WEB" 2
    seen 30 "production is announced and waits" card_is production needs_approval
    say "  bob: approve production → $(chat bob 'approve production')"
    LAST_MS=$(now_ms)
    seen 120 "production tried it: failed, rolled back" card_is production failed_rolled_back
    seen 30 "production serves version 1" serves "$PRODUCTION_WEB" 1
    seen 30 "git says so: the release was taken back" lock_has production 'kind: automatic_rollback'

    step "Who did what: git log of the config repo, oldest first"
    git -C "$CHECKOUT" fetch --quiet
    git -C "$CHECKOUT" log --reverse --format='  %C(auto)%h  %<(16,trunc)%an %<(14,trunc)%cn %s' origin/main |
        { printf '  %-7s  %-16s %-14s %s\n' commit author committer subject && cat; }
    step "All of it was seen, in $((($(now_ms) - FIRST_MS) / 1000)) s."
}

# Looks for a while that production does not move.
stays_at() { # SECONDS WHAT VERSION
    local began=$SECONDS
    while [ $((SECONDS - began)) -lt "$1" ]; do
        serves "$PRODUCTION_WEB" "$3" || { bad "production moved although it is held"; last_words; exit 1; }
        sleep 0.2
    done
    good "$2"
    LAST_MS=$(now_ms)
}

invite() {
    cat <<WORDS

${BOLD}It runs. Now it is your turn.${PLAIN}

  page            $PAGE     (choose who you are; the chat console is on it)
  staging         $STAGING_WEB
  production      $PRODUCTION_WEB
  config repo     $CHECKOUT     (a clone; what is pushed to its origin is the desired state)

  ${BOLD}Release:${PLAIN} change the version, commit, push. Staging takes it at once; production waits for an approval.

      cd $CHECKOUT
      sed -i 's/app:1/app:2/' stacks/shop/compose.yaml
      git commit -am 'Shop: version 2' && git push

  ${BOLD}Approve:${PLAIN} press the button on the page, or say it:

      curl -s -b tidegate-person=bob -H 'tidegate-live: 1' --data-urlencode 'text=approve production' $PAGE/say

  ${BOLD}Roll back:${PLAIN} say ${BOLD}rollback shop production${PLAIN} on the page; or on the host itself, which works without git:

      $TIDEGATE rollback shop --config $PRODUCTION_CONFIG

  ${BOLD}Not now:${PLAIN} say ${BOLD}freeze production for 2h the books are closed${PLAIN}, release something, and see it wait;
  ${BOLD}override production release NUMBER the fix${PLAIN} lets that one pass, ${BOLD}unfreeze production${PLAIN} ends it. The calendar
  is at $PAGE/calendar, and as a feed at $PAGE/calendar/production.ics

  ${BOLD}Ask why:${PLAIN}

      $TIDEGATE status --config $PRODUCTION_CONFIG
      $TIDEGATE why shop --config $PRODUCTION_CONFIG

  ${BOLD}Break it:${PLAIN} release app:3, which never gets healthy; docker rm -f one of its containers; push a broken file.

  Logs are in $DEMO/log. Ctrl-C stops agents and bot; containers go on serving until
  ${BOLD}deploy/quickstart.sh --clean${PLAIN} removes everything.
WORDS
}

# Stays until Ctrl-C, or until one of the programs ends by itself.
stay() {
    local file name
    while :; do
        for file in "$DEMO"/pid/*; do
            name=$(basename "$file")
            is_running "$name" && continue
            bad "$name ended by itself; it said last:"
            tail -n 15 "$DEMO/log/$name.log" >&2
            stop_programs
            exit 1
        done
        sleep 1
    done
}

on_interrupt() {
    trap - INT TERM
    printf '\n'
    stop_programs
    good "stopped agents and bot; containers and $DEMO stay (deploy/quickstart.sh --clean removes them)"
    exit "$INTERRUPTED"
}

# --- the run

main() {
    local mode=stay
    case ${1:-} in
    '') ;;
    --script) mode=script ;;
    --clean) mode=clean ;;
    -h | --help) usage; exit 0 ;;
    *) bad "unknown argument: $1"; usage >&2; exit 64 ;;
    esac
    [ $# -le 1 ] || { usage >&2; exit 64; }
    if [ $mode = clean ]; then clean; exit 0; fi

    local began=$SECONDS
    step 'What is needed'
    need_tools
    need_rust "$ROOT"
    need_engine
    stop_if_missing

    step 'Building (the first time takes a few minutes)'
    (cd "$ROOT" && CARGO_TARGET_DIR=$TARGET cargo build --locked --profile $PROFILE -p tidegate-agent -p tidegate-bot)
    "$ROOT/deploy/demo/build-images.sh" "$IMAGES"
    good "built tidegate, tidegate-bot and the images $IMAGES:1, :2 and :3 in $((SECONDS - began)) s"

    step 'Starting'
    remove_demo
    INTERRUPTED=130
    trap on_interrupt INT TERM
    make_demo
    make_room
    start_programs
    if [ $mode = script ]; then
        story
        stop_programs
        say "Agents and bot are stopped; containers go on serving until deploy/quickstart.sh --clean."
    else
        INTERRUPTED=0
        invite
        stay
    fi
}

main "$@"
