#!/usr/bin/env bash
# Builds both Debian packages: cis490-receiver (with cis490-index-backfill and cis490-verify) and cis490-shipper.
#
#   scripts/build-packages.sh [PROFILE] [TARGET]
#
# PROFILE is a cargo profile (default: release), TARGET a Rust target such as aarch64-unknown-linux-gnu for another
# machine than this one. Prints the paths of the packages. Needs cargo-deb (`cargo install --locked cargo-deb`) and
# dpkg-dev; for another target its standard library and linker, see docs/install.md.
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

cargo build --locked --profile "$profile" "${for_target[@]}" --package cis490-receiver --package cis490-shipper \
  --package cis490-tools "${programs[@]/#/--bin=}"
# What runs here writes the pages, whatever machine the programs are for.
own=$profile own_dir=$target_dir/$profile_dir
[[ -z $target ]] || own=dev own_dir=$target_dir/debug
cargo build --locked --profile "$own" --package cis490-tools --bin cis490-man-pages
rm -rf "$built/pages"
"$own_dir/cis490-man-pages" "$built/pages"

# A package for others is worth the wait for a small file.
fast=()
[[ $profile == release ]] || fast=(--fast)
for package in cis490-receiver cis490-shipper; do
  cargo deb --quiet "${fast[@]}" --no-build --locked --profile "$profile" "${for_target[@]}" --package "$package" \
    --output "$target_dir/debian/"
done
