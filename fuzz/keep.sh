#!/usr/bin/env bash
# Keeps of the corpus of every target, or of those named, what reaches most: INPUTS_MAX inputs of at most BYTES_MAX bytes each in
# fixtures/. `run.sh` begins with them, and the tests of `intake` and `query` read them without a fuzzer.
set -euo pipefail
cd "$(dirname "$0")"
INPUTS_MAX=64
BYTES_MAX=2048
targets=("$@")
[ "$#" -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)
for target in "${targets[@]}"; do
    features=()
    case "$target" in
    search | dsl) features=(--features questions) ;;
    esac
    scratch=$(mktemp --directory)
    mkdir -p "$scratch/all" "$scratch/cover" "fixtures/$target" "corpus/$target"
    # One after the other: what is kept already is in both, and cp does not take a name twice.
    for folder in "corpus/$target" "fixtures/$target"; do
        find "$folder" -type f -size "-$((BYTES_MAX + 1))c" -exec cp --target-directory "$scratch/all" {} +
    done
    cargo +nightly fuzz run --sanitizer none "${features[@]}" "$target" "$scratch/cover" "$scratch/all" -- \
        -set_cover_merge=1 -merge_control_file="$scratch/reached" -max_len="$BYTES_MAX"
    # The control file has two counts, as many names as the first says, and for each name the features that its input reaches. Of
    # all inputs that one is taken next which adds most.
    awk -v inputs_max="$INPUTS_MAX" '
        NR == 1 { names = $1 }
        NR > 2 && NR <= names + 2 { name[NR - 3] = $0 }
        NR > names + 2 && $1 == "FT" { reached[$2] = substr($0, length("FT ") + length($2) + 2) }
        END {
            for (input in reached) most[input] = split(reached[input], features, " ")
            while (taken < inputs_max) {
                best = ""
                for (input in most)
                    if (best == "" || most[input] > most[best] || (most[input] == most[best] && name[input] < name[best])) best = input
                if (best == "" || most[best] == 0) exit
                count = split(reached[best], features, " "); adds = 0
                for (at = 1; at <= count; at++) adds += !(features[at] in known)
                # It adds less than it did before others were taken: another one may add more.
                if (adds < most[best]) { most[best] = adds; continue }
                print name[best]; taken++
                for (at = 1; at <= count; at++) known[features[at]]
                delete most[best]
            }
        }' "$scratch/reached" >"$scratch/kept"
    rm -f "fixtures/$target/"*
    xargs --arg-file "$scratch/kept" cp --target-directory "fixtures/$target"
    echo "$target: $(wc -l <"$scratch/kept") of $(find "$scratch/all" -type f | wc -l) inputs"
    rm -r "$scratch"
done
