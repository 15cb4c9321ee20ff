#!/usr/bin/env bash
# The whole recipe on one GPU host: text, speech, tokenizer, training. The model is WORK/out/embedded_ctc.nemo.
#
#   base_training/run_on_gpu.sh WORK [MINUTES]
#
# From the repository's root, with NeMo, hibari-tts and jiwer importable by $PYTHON (python3).
# Text already in WORK/text is used as it is: a host without WordNet can be handed it.
set -euo pipefail
work=${1:?a working folder} minutes=${2:-18} python=${PYTHON:-python3}
cores=$(nproc)
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=2
mkdir -p "$work/out"

[ -f "$work/text/train.txt" ] || "$python" -m base_training.text --out "$work/text"
sha256sum "$work/text/train.txt"

# Speech goes on being made while training has begun; three cores are left to the trainer.
"$python" -m base_training.corpus --text "$work/text/validation.txt" --out "$work/validation" \
  --workers 2 --demo-voices
"$python" -m base_training.corpus --text "$work/text/train.txt" --out "$work/shards" \
  --workers "$((cores > 4 ? cores - 3 : 1))" >"$work/out/corpus.log" 2>&1 &
"$python" -c "
import sys, pathlib
from base_training.model import train_tokenizer
train_tokenizer(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
" "$work/text/train.txt" "$work/tokenizer" >"$work/out/tokenizer.log" 2>&1
"$python" -m base_training.train --text "$work/text/train.txt" \
  --validation-text "$work/text/validation.txt" --shards "$work/shards" \
  --validation "$work/validation" --tokenizer "$work/tokenizer" --out "$work/out" \
  --minutes "$minutes" --report-seconds 30 2>&1 | tee "$work/out/train.log"
wait
touch "$work/out/done"
