#!/usr/bin/env bash
# All figures of one machine in one table: its limits, each stage's time and share of them, real-time factors, the
# first streamed audio, training, where REFERENCE names a checkout of FunAudioLLM/CosyVoice the PyTorch reference, and
# the engine with many streams.
#
#   [REFERENCE=CosyVoice [MATCHA=Matcha-TTS] [REFERENCE_PYTHON=python]] bash benchmarks/gpu.sh
#
# Under ten minutes on a data centre GPU, which the training, of the released sizes, and the engine, whose programs are
# compiled first, were not yet part of. A CPU does it with the small model: WEIGHTS=weights/embedded RUNS=1
# TRAINING_ROWS=1 BATCH=4 STREAMS="1 4". A step that fails says so and costs its own figures
# only; OUT keeps each step's figures and output.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python}
WEIGHTS=${WEIGHTS:-weights/random}
RUNS=${RUNS:-3}
BATCH=${BATCH:-64}
STREAMS=${STREAMS:-1 4 16 64}
TRAINING_ROWS=${TRAINING_ROWS:-32}
OUT=${OUT:-$(mktemp -d)}
failed=""
mkdir -p "$OUT"
rm -f "$OUT"/*.json

step() { # NAME MODULE ARGUMENTS...
    local name=$1 module=$2 begin=$SECONDS
    shift 2
    if "$PYTHON" -W ignore -m "benchmarks.$module" "$@" --json "$OUT/$name.json" >"$OUT/$name.log" 2>&1; then
        echo "$name: $((SECONDS - begin)) s"
    else
        failed="$failed $name"
        echo "$name failed after $((SECONDS - begin)) s:"
        tail -n 5 "$OUT/$name.log"
    fi
}

[ -e "$WEIGHTS/config.json" ] || "$PYTHON" -m cosy_jax init --size released "$WEIGHTS"
echo "figures and output of each step: $OUT"

device=$("$PYTHON" -c 'import jax; print("cuda" if jax.default_backend() == "gpu" else "cpu")')
step 1-machine machine --runs "$RUNS"
for dtype in bfloat16 float32; do
    step "2-stages-$dtype" stages --weights "$WEIGHTS" --runs "$RUNS" --dtype "$dtype" \
        --batch 1 "$BATCH" --flow-batch 1 16 "$BATCH"
done
step 3-training training --device "$device" --dtype bfloat16 --rows "$TRAINING_ROWS" --runs "$RUNS"
step 4-first-audio streaming --weights "$WEIGHTS" --dtype bfloat16 --seconds 1 --solvers
if [ -n "${REFERENCE:-}" ]; then
    step 5-reference compare_torch --weights "$WEIGHTS" --runs "$RUNS" --reference "$REFERENCE" --device "$device" \
        --matcha "${MATCHA:-$REFERENCE/third_party/Matcha-TTS}" --reference-python "${REFERENCE_PYTHON:-$PYTHON}" \
        --dtype float32 bfloat16 --batch 1 "$BATCH"
fi
# shellcheck disable=SC2086  # several numbers
step 6-engine serving --weights "$WEIGHTS" --dtype bfloat16 --streams $STREAMS --sides engine exact --alone 4 --rounds 1

"$PYTHON" -m benchmarks.table "$OUT"/*.json
if [ -n "$failed" ]; then
    echo "failed:$failed" >&2
    exit 1
fi
