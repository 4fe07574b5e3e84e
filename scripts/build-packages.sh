#!/usr/bin/env bash
# Builds both Debian packages: cis490-receiver (with cis490-index-backfill and cis490-verify) and cis490-shipper.
#
#   scripts/build-packages.sh [PROFILE] [TARGET]
#
# PROFILE is a cargo profile (default: release), TARGET a Rust target such as aarch64-unknown-linux-gnu for another
# machine than this one. Prints the paths of the packages. The programs are stripped; their symbols go to a package
# NAME-dbgsym_*.ddeb beside each. Needs cargo-deb (`cargo install --locked cargo-deb`), binutils and dpkg-dev; for
# another target its standard library and linker, see docs/install.md.
#
# With the profile `dev` it packs what the tests have built: enough to try units and packages, and not to be given
# away, since such programs are slow and can be told to leave out steps (shared/src/step.rs).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${1:-release}
target=${2:-}
programs=(cis490-receiver cis490-shipper cis490-index-backfill cis490-verify)
target_dir=${CARGO_TARGET_DIR:-target}
for_target=()
[[ -z $target ]] || for_target=(--target "$target")
# Cargo keeps what the profile `dev` makes under another name.
profile_dir=$profile
[[ $profile != dev ]] || profile_dir=debug
built=$target_dir/${target:+$target/}$profile_dir

if [[ $profile == dev ]]; then
  # With a test beside them, or cargo would leave out the features of development and compile all of it once more.
  cargo build --locked --workspace --bins --test tidy
else
  cargo build --locked --profile "$profile" "${for_target[@]}" --package cis490-receiver --package cis490-shipper \
    --package cis490-tools "${programs[@]/#/--bin=}"
  for program in "${programs[@]}"; do
    if grep --quiet --binary-files=text CIS490_OMIT "$built/$program"; then
      echo "build-packages.sh: \`$built/$program\` can be told to leave out steps of the protocol" >&2
      echo "help: build it without debug-assertions" >&2
      exit 1
    fi
  done
fi
# What runs here writes the pages, whatever machine the programs are for.
own=$profile own_dir=$target_dir/$profile_dir
[[ -z $target ]] || own=dev own_dir=$target_dir/debug
[[ $profile == dev ]] || cargo build --locked --profile "$own" --package cis490-tools --bin cis490-man-pages
rm -rf "$built/pages"
"$own_dir/cis490-man-pages" "$built/pages"

# A package for others is worth the wait for a small file, and has its symbols beside it.
how=(--dbgsym)
[[ $profile == release ]] || how=(--fast --strip)
for package in cis490-receiver cis490-shipper; do
  cargo deb --quiet "${how[@]}" --no-build --locked --profile "$profile" "${for_target[@]}" --package "$package" \
    --output "$target_dir/debian/"
done
