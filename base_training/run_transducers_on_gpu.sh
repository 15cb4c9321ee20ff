#!/usr/bin/env bash
# Both transducer bases on one GPU host: speech, then the two trainings side by side.
# The models are WORK/out/embedded_rnnt.nemo and WORK/out/embedded_tdt.nemo.
#
#   base_training/run_transducers_on_gpu.sh WORK [MINUTES]
#
# From the repository's root, with NeMo, hibari-tts and jiwer importable by $PYTHON (python3).
# Text already in WORK/text is used as it is: a host without WordNet can be handed it.
set -euo pipefail
work=${1:?a working folder} minutes=${2:-4.5} python=${PYTHON:-python3}
ctc=${CTC:-asr_flywheel/embedded/embedded_ctc.nemo}
cores=$(nproc)
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=2
mkdir -p "$work/out"

[ -f "$work/text/train.txt" ] || "$python" -m base_training.text --out "$work/text"
sha256sum "$work/text/train.txt"

# Speech goes on being made while training has begun; four cores are left to the trainers.
"$python" -m base_training.corpus --text "$work/text/validation.txt" --out "$work/validation" \
  --workers 1 --demo-voices >"$work/out/validation.log" 2>&1 &
"$python" -m base_training.corpus --text "$work/text/train.txt" --out "$work/shards" \
  --workers "$((cores > 5 ? cores - 4 : 1))" --hours "${HOURS:-50}" >"$work/out/corpus.log" 2>&1 &
corpus=$!
for kind in rnnt tdt; do
  "$python" -m base_training.train_transducer "$kind" --ctc "$ctc" --text "$work/text/train.txt" \
    --validation-text "$work/text/validation.txt" --shards "$work/shards" \
    --validation "$work/validation" --out "$work/out" --minutes "$minutes" \
    >"$work/out/train_$kind.log" 2>&1 &
  trainers+=("$!")
done
failed=0
for trainer in "${trainers[@]}"; do wait "$trainer" || failed=1; done
kill "$corpus" 2>/dev/null || true
exit "$failed"
