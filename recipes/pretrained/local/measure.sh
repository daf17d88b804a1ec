#!/usr/bin/env bash
# What the card says of a model: measure.sh MODEL ASR OUT
#
# Recordings that training never saw, in the clean voices: of speakers that it knew (known) and did not know, native
# (unseen) and with a Mandarin accent and noise (accented), and of known speakers in their own voice (own); by both
# vocoders, and from one codebook.  OUT/table.md has the means.  The sets are measured side by side.
set -euo pipefail
model=$1 asr=$2 out=$3
here=$(dirname "${BASH_SOURCE[0]}")
data=data/pretrained
real=(p225 p226 p227 p228 p232 p239 np_vcc_SF1 np_vcc_SM1 np_vcc_TF2 np_vcc_TM3)
mapfile -t synthetic < <(grep -o '^kokoro_[^[:space:]]*' "$model/speakers.txt" || true)
mkdir -p "$out"
voices=(vctk/train all/npvcc)
[ ${#synthetic[@]} = 0 ] || voices+=(all/synthetic)
vqspeech data combine "${voices[@]/#/$data/}" --out $data/voices --force
python $here/pairs.py 12 $data/vctk/test $data/vctk/dev -- "${real[@]}" "${synthetic[@]}" > "$out/known.txt"
python $here/pairs.py 15 $data/librispeech/unseen -- "${real[@]}" "${synthetic[@]}" > "$out/unseen.txt"
python $here/pairs.py 12 $data/speechocean/unseen -- "${real[@]}" "${synthetic[@]}" > "$out/accented.txt"
python $here/pairs.py --own 12 $data/vctk/test $data/vctk/dev -- "${real[@]}" > "$out/own.txt"

measure() {  # PAIRS
  for how in source-filter:2 source-filter:1 wavenet:2; do
    vqspeech evaluate "$out/$1.txt" --model "$model" --voices $data/voices --asr "$asr" --vocoder "${how%:*}" \
      --codebooks "${how#*:}" "--$([ $how = source-filter:2 ] || echo no-)codecs" --out "$out/$1-${how%:*}-${how#*:}" --force
  done
}

running=()
for pairs in known unseen accented own; do
  measure $pairs > "$out/$pairs.log" 2>&1 &
  running+=($!)
done
for pid in "${running[@]}"; do wait "$pid"; done
python $here/table.py "$out" > "$out/table.md"
