#!/usr/bin/env bash
# Builds both Debian packages: cis490-receiver (with cis490-index-backfill and cis490-verify) and cis490-shipper.
#
#   scripts/build-packages.sh [PROFILE] [TARGET]
#
# PROFILE is a cargo profile (default: release), TARGET a Rust target such as aarch64-unknown-linux-gnu for another
# machine. Prints the paths of the packages. The programs are stripped; their symbols go to a package
# NAME-dbgsym_*.ddeb beside each. Needs cargo-deb (`cargo install --locked cargo-deb`), binutils and dpkg-dev. Another
# target needs its standard library and linker, see docs/install.md.
#
# With the profile `dev` it packs the programs that the tests have built, for tests of units and packages only. Do not
# distribute them, because they are slow and can be told to leave out steps (shared/src/step.rs).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${1:-release}
target=${2:-}
programs=(cis490-receiver cis490-shipper cis490-index-backfill cis490-verify)
packages=(cis490-receiver cis490-shipper)
target_dir=${CARGO_TARGET_DIR:-target}
for_target=()
[[ -z $target ]] || for_target=(--target "$target")
# Cargo's directory for the profile `dev` has another name.
profile_dir=$profile
[[ $profile != dev ]] || profile_dir=debug
built=$target_dir/${target:+$target/}$profile_dir

if [[ $profile == dev ]]; then
  # With a test, because otherwise cargo leaves out the features of development and compiles everything again.
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
# A program for this machine writes the pages, even if the packages are for another target.
own=$profile own_dir=$target_dir/$profile_dir
[[ -z $target ]] || own=dev own_dir=$target_dir/debug
[[ $profile == dev ]] || cargo build --locked --profile "$own" --package cis490-tools --bin cis490-man-pages
rm -rf "$built/pages"
"$own_dir/cis490-man-pages" "$built/pages"

# All files in a package get the time of the last commit, so that the same commit gives the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat --format=%Y Cargo.lock)}
export SOURCE_DATE_EPOCH
# Compressed as Debian wants them, without the time of day in the files.
gzip --best --no-name "$built/pages/man/"*
# Debian's own changelog, for apt and lintian. The changes for users are in CHANGELOG.md beside it.
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
mkdir "$built/pages/changelog"
for package in "${packages[@]}"; do
  gzip --best --no-name >"$built/pages/changelog/$package.gz" <<END
$package ($version) stable; urgency=medium

  * See /usr/share/doc/$package/CHANGELOG.md.

 -- $(sed -n 's/^maintainer = "\(.*\)"$/\1/p' "${package#cis490-}/Cargo.toml")  $(LC_ALL=C date --utc --date="@$SOURCE_DATE_EPOCH" --rfc-email)
END
done

# cargo-deb writes no md5sums, with which dpkg --verify and debsums find changed files. So its packages are unpacked and
# built again with them. A release is compressed well, although that is slow, and has its symbols beside it.
how=(--dbgsym) compression=(-Zxz)
[[ $profile == release ]] || { how=(--strip); compression=(-Zgzip -z1); }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for package in "${packages[@]}"; do
  deb=$(cargo deb --quiet --fast "${how[@]}" --no-build --locked --profile "$profile" "${for_target[@]}" \
    --package "$package" --output "$target_dir/debian/" | grep "/${package}_[^/]*\.deb\$")
  dpkg-deb --raw-extract "$deb" "$scratch/$package"
  (cd "$scratch/$package" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort --zero-terminated |
    xargs --null md5sum >DEBIAN/md5sums && chmod 644 DEBIAN/md5sums)
  dpkg-deb --root-owner-group "${compression[@]}" --build "$scratch/$package" "$deb" >/dev/null
  echo "$deb"
done
