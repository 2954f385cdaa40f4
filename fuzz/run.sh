#!/usr/bin/env bash
# Runs every target, or those named, for SECONDS_EACH (600) seconds each. It begins with what is kept in fixtures/. Inputs that
# reach something new are left in corpus/, of which `keep.sh` keeps the best; a failure leaves its input in artifacts/.
set -euo pipefail
cd "$(dirname "$0")"
targets=("$@")
[ "$#" -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target" "fixtures/$target"
    seeds=("fixtures/$target")
    options=()
    features=()
    # What real clients sent.
    case "$target" in
    sentry_*) seeds+=(../crates/intake/tests/fixtures/sentry) ;;
    rollbar) seeds+=(../crates/intake/tests/fixtures/rollbar) ;;
    records) seeds+=(../crates/intake/tests/fixtures/python) ;;
    # These build DataFusion.
    search | dsl) features=(--features questions) options=(-dict=questions.dict) ;;
    esac
    cargo +nightly fuzz run --sanitizer none "${features[@]}" "$target" "corpus/$target" "${seeds[@]}" -- "${options[@]}" \
        -max_total_time="${SECONDS_EACH:-600}" -timeout=5 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1
done
