#!/usr/bin/env bash
# What the card says of a model: measure.sh MODEL ASR OUT
#
# Recordings that training never saw, in the clean voices: of speakers that it knew (known) and did not know, native
# (unseen) and with a Mandarin accent and noise (accented), and of known speakers in their own voice (own); by both
# vocoders, and from one codebook.  Four recordings in each voice (voices).  The speed on one core.  OUT/table.md has
# the tables.  The sets are measured side by side, the speed alone.
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
for voice in "${real[@]}" "${synthetic[@]}"; do
  python $here/pairs.py 2 $data/vctk/test $data/librispeech/unseen -- "$voice"
done > "$out/voices.txt"

measure() {  # PAIRS VOCODER:CODEBOOKS OPTION...
  vqspeech evaluate "$out/$1.txt" --model "$model" --voices $data/voices --vocoder "${2%:*}" --codebooks "${2#*:}" \
    "${@:3}" --out "$out/$1-${2%:*}-${2#*:}" --force
}

measure_words() {  # PAIRS
  measure "$1" source-filter:2 --asr "$asr" --codecs
  for how in source-filter:1 wavenet:2 wavenet:1; do measure "$1" $how --asr "$asr" --no-codecs; done
}

running=()
for pairs in known unseen accented own; do
  measure_words $pairs > "$out/$pairs.log" 2>&1 &
  running+=($!)
done
for pid in "${running[@]}"; do wait "$pid"; done
measure voices wavenet:2 --no-codecs > "$out/voices.log" 2>&1
vqspeech bench --model "$model" --seconds 0.2 --json > "$out/bench.json"
python $here/table.py "$out" "$model" > "$out/table.md"
