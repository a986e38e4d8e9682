#!/bin/sh
# Builds the demo images from nothing but one static binary: tidegate-demo/app:1, :2 and :3 (3 never gets healthy).
#
#   deploy/demo/build-images.sh [REPOSITORY]
#
# Needs rustc and a running Docker Engine. `docker import` makes the same image as a Dockerfile with `FROM scratch`,
# `COPY app /app` and `ENTRYPOINT ["/app"]`; it takes a tenth of a second where `docker build` without BuildKit takes
# four, and it does not depend on which builder is installed. Images that are there already, made from the same source,
# are left alone.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
repository=${1:-tidegate-demo/app}
source_label=org.tidegate.demo.source
source_id=$(cat "$here/app.rs" "$here/build-images.sh" | sha256sum | cut -c 1-16)

made_from() { docker image inspect --format "{{index .Config.Labels \"$source_label\"}}" "$repository:$1" 2>/dev/null || true; }
if [ "$(made_from 1)$(made_from 2)$(made_from 3)" = "$source_id$source_id$source_id" ]; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols -o "$work/app" "$here/app.rs"
tar -C "$work" --owner=0 --group=0 --mtime=@0 -cf "$work/root.tar" app

image() { # VERSION HEALTHY
    before=$(docker image inspect --format '{{.Id}}' "$repository:$1" 2>/dev/null || true)
    # No HEALTHCHECK here: the stack's Compose file says how health is checked.
    docker import --change 'ENTRYPOINT ["/app"]' --change 'EXPOSE 8080' --change "LABEL $source_label=$source_id" \
        --change "ENV VERSION=$1" --change "ENV HEALTHY=$2" "$work/root.tar" "$repository:$1" >/dev/null
    # The image that had the name before; stays when something still runs on it.
    [ -z "$before" ] || docker image rm "$before" >/dev/null 2>&1 || true
}

image 1 true
image 2 true
image 3 false
