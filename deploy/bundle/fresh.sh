# Read by other scripts. bundle_is_fresh ROOT: whether nothing that the bundle in ROOT/dist was made of has changed since, so that
# it is what the sources say. By the time of the last change of state, which no copy and no checkout can set back. dist/built has the
# number of the folder src: a bundle that was brought here from another checkout is as new as that, and is made of something else.
bundle_is_fresh() {
  [ -f "$1/dist/built" ] || return 1
  (
    cd "$1" || exit 1
    read -r sources <dist/built || exit 1
    # What find says, a find without -cnewer too, counts as a change.
    [ -z "$(find src providers deploy/bundle package.json node_modules/.package-lock.json \
      \( -cnewer dist/built -o -path src ! -inum "$sources" \) -print -quit 2>&1)" ]
  )
}
