#!/usr/bin/env bash
# Do the packages follow Debian's rules, and do the links in their documents work?
#
#   scripts/check-packages.sh [DIR]
#
# DIR holds the packages (default: target/debian); the newest of each name is checked. Fails on an error or a warning of
# lintian that packaging/lintian/ does not override, and on an override that has no reason or is not used. Also fails
# on a link in an installed document to a file that is not installed, on a manual page with a warning, and on a program
# with symbols. Prints the size of each program. Needs lintian and man.
set -euo pipefail
export LC_ALL=C.UTF-8
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=${1:-target/debian}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
fail() {
  echo "check-packages.sh: $*" >&2
  failed=1
}

# lint DEB...: checks all packages in one run, because lintian is slow to start.
lint() {
  lintian --allow-root --display-info --tag-display-limit 0 "$@" >"$scratch/tags" 2>&1 || true
  # lintian does not warn of an unused override.
  if grep -vE '^[IPNX]: ' "$scratch/tags" || grep -E ' (unused|mismatched)-override ' "$scratch/tags"; then
    fail 'lintian does not take the packages'
  fi
  awk 'FNR == 1 { reason = 0 } /^#/ { reason = 1; next } NF && !reason { print FILENAME ": " $0; bad = 1 } { reason = 0 }
    END { exit bad }' packaging/lintian/* || fail 'an override has no reason before it'
}

# links_lead_somewhere ROOT NAME: checks the relative links of the installed Markdown.
links_lead_somewhere() {
  local document target links=0
  while IFS=: read -r document target; do
    target=${target#']('}
    target=${target%')'}
    target=${target%%#*}
    [[ $target != *://* && -n $target ]] || continue
    links=$((links + 1))
    [[ -e $(dirname "$document")/$target ]] || fail "$2: ${document#"$1"} leads to \`$target\`, which is not installed"
  done < <(find "$1/usr/share/doc" -name '*.md' -exec grep --only-matching --with-filename ']([^)]*)' {} +)
  echo "$2: $links links lead to installed files"
  ((links > 20)) || fail "$2: too few links; are the documents installed?"
}

# pages_are_read ROOT NAME: man prints no warning about the pages, and those of programs list exit codes.
pages_are_read() {
  local page
  for page in "$1"/usr/share/man/man[15]/*; do
    man --warnings --local-file "$page" 2>&1 >"$scratch/page" | grep . && fail "$2: ${page##*/} has faults"
    [[ $page != */"$2".1.gz ]] || grep -q 'EXIT STATUS' "$scratch/page" || fail "$2: ${page##*/} has no exit codes"
  done
}

# programs_are_stripped ROOT NAME
programs_are_stripped() {
  local program
  for program in "$1"/usr/bin/*; do
    ! readelf --section-headers --wide "$program" | grep -qE ' \.(symtab|debug_info) ' ||
      fail "$2: ${program##*/} is not stripped"
    printf '%s: %-22s %5d KiB\n' "$2" "${program##*/}" $(($(stat --format=%s "$program") / 1024))
  done
}

debs=()
for name in cis490-receiver cis490-shipper; do
  deb=$(find "$dir" -name "${name}_*.deb" -printf '%T@ %p\n' | sort --numeric-sort | tail -n 1 | cut -d' ' -f2-)
  [[ -n $deb ]] || { fail "there is no package $name in $dir: scripts/build-packages.sh"; continue; }
  dpkg-deb --extract "$deb" "$scratch/$name"
  printf '%s: %-22s %5d KiB\n' "$name" "the package" $(($(stat --format=%s "$deb") / 1024))
  programs_are_stripped "$scratch/$name" "$name"
  links_lead_somewhere "$scratch/$name" "$name"
  pages_are_read "$scratch/$name" "$name"
  debs+=("$deb")
done
((${#debs[@]} == 0)) || lint "${debs[@]}"
exit "$failed"
