#!/usr/bin/env bash
# The sound files of docs/samples: samples.sh MODEL OUT
#
# Recordings that training never saw, the same converted by MODEL, recordings in the speaker's own voice from one and two
# codebooks and by both vocoders, and ten samples of the prior; Opus at 24 kbit/s.  Needs data/pretrained (stage 1 of run.sh), ffmpeg and
# opusenc.
set -euo pipefail
model=$1 out=$2
data=data/pretrained
wav=$(mktemp -d)
trap 'rm -rf "$wav"' EXIT

source_of() {  # DATA_DIR KEY: the utterance as $wav/KEY.wav, without its edge silence
  local path start end
  path=$(awk -v key="$2" '$1 == key { print $2 }' "$1/wav.scp")
  read -r start end < <(awk -v key="$2" '$1 == key { print $3, $4 }' "$1/segments")
  ffmpeg -nostdin -loglevel error -i "$path" -af "atrim=$start:$end" -ar 16000 "$wav/$2.wav"
}

converted() {  # KEY SPEAKER
  vqspeech convert --model "$model" --speaker "$2" "$wav/$1.wav"
}

own_voice() {  # KEY SPEAKER CODEBOOKS VOCODER NAME
  vqspeech encode --model "$model" --speaker "$2" --codebooks "$3" "$wav/$1.wav" --out "$wav/$1.vqs" --force
  vqspeech decode --model "$model" --vocoder "$4" "$wav/$1.vqs" --out "$wav/$1.$5.wav"
}

source_of $data/vctk/test p225_224
source_of $data/vctk/dev p241_120
source_of $data/librispeech/unseen li_ls118-118-121721-0000
source_of $data/librispeech/unseen li_ls7312-7312-92432-0000
converted p225_224 p226
converted p241_120 kokoro_af_heart
converted li_ls118-118-121721-0000 p228
converted li_ls7312-7312-92432-0000 kokoro_bm_george

source_of $data/vctk/test p239_489
own_voice p239_489 p239 1 wavenet 1-codebook
own_voice p239_489 p239 2 wavenet 2-codebooks
own_voice p239_489 p239 2 source-filter source-filter
vqspeech convert --model "$model" --speaker p226 --vocoder source-filter "$wav/p225_224.wav" \
  --out "$wav/p225_224.p226.source-filter.wav"
ffmpeg -nostdin -loglevel error -i "$wav/p239_489.wav" -c:a pcm_mulaw -f wav - |
  ffmpeg -loglevel error -i - "$wav/p239_489.mulaw.wav"

vqspeech sample --model "$model" --speaker kokoro_af_heart --seconds 5 --n 10 --out-dir "$wav/prior"
for number in {1..10}; do mv "$wav/prior/kokoro_af_heart-$number.wav" "$wav/prior-$number.wav"; done

mkdir -p "$out"
for path in "$wav"/*.wav; do  # a serial number of its own: the same bytes every time
  opusenc --quiet --bitrate 24 --serial 1 "$path" "$out/$(basename "$path" .wav).opus"
done
