#!/usr/bin/env bash
# The model that ships with vqspeech, from a folder of speech:
#
#   bash recipes/pretrained/run.sh SPEECH [KEY=VALUE...]
#
# SPEECH has vctk-16k/ and its lab/ (VCTK 0.92's layout), npvcc/, librispeech/ and speechocean/ with its lab/ (Kaldi
# data directories).  In the environment:
#
#   synthetic=DIR   a Kaldi data directory by local/synthesise.py, whose voices are added
#   asr=tiny.en     the recogniser whose encoder gives phone posteriors: a faster-whisper model's name or folder
#   train_cmd=...   several processes, which on a CPU are faster than threads:
#                   train_cmd="torchrun --standalone --nproc_per_node 2 -m vqspeech" OMP_NUM_THREADS=1
#
# KEY=VALUE overrides conf/codes.yaml.  A stage that was stopped goes on with the same command.
set -euo pipefail
{
[ -d "${1:-}" ] || { echo "run.sh: give a folder of speech, as the head of this file says" >&2; exit 2; }
speech=$(realpath "$1")
shift
here=$(dirname "${BASH_SOURCE[0]}")
cd "$here/../.."
. egs/vctk/path.sh
train_cmd=${train_cmd:-vqspeech} asr=${asr:-tiny.en} synthetic=${synthetic:-}
here=recipes/pretrained data=data/pretrained codes=exp/pretrained-codes vocoder=exp/pretrained-vocoder
tuned=exp/pretrained-vocoder-tuned distilled=exp/pretrained-vocoder-distilled prior=exp/pretrained-prior out=exp/english-16k nj=$(nproc)
parts=(vctk/train all/npvcc librispeech/train speechocean/train)
[ -z "$synthetic" ] || parts+=(all/synthetic)

if [ ! -e $data/.done ]; then
  for corpus in npvcc librispeech speechocean; do
    vqspeech data combine "$speech/$corpus" --out $data/all/$corpus --force
    vqspeech data trim $data/all/$corpus --nj "$nj"
  done
  for corpus in librispeech speechocean; do
    python $here/local/hold_out.py $data/all/$corpus $here/conf/unseen.txt $data/$corpus
  done
  python egs/vctk/local/prepare_vctk.py "$speech/vctk-16k" $data/all/vctk
  vqspeech data trim $data/all/vctk --nj "$nj" --labels "$speech/vctk-16k/lab"
  vqspeech data split $data/all/vctk $data/vctk --force
  if [ -n "$synthetic" ]; then
    vqspeech data combine "$synthetic" --out $data/all/synthetic --force
    vqspeech data trim $data/all/synthetic --nj "$nj"
  fi
  for part in vctk/train vctk/dev vctk/test; do vqspeech data align $data/$part --labels "$speech/vctk-16k/lab"; done
  vqspeech data align $data/speechocean/train --labels "$speech/speechocean/lab"
  vqspeech data posteriors "${parts[@]/#/$data/}" --asr "$asr"
  for part in "${parts[@]}" vctk/dev vctk/test; do vqspeech data pack $data/$part --nj "$nj"; done
  for part in vctk/train all/npvcc ${synthetic:+all/synthetic} vctk/dev; do  # what is clean, for the vocoder
    vqspeech data combine $data/$part --out $data/wide/$part --force
    vqspeech data pack $data/wide/$part --bits 16 --nj "$nj"
  done
  touch $data/.done
fi

learn() {  # CONFIG RUN ARGUMENT...; a run that is over is not begun again, one that was stopped goes on
  local config=$1 run=$2
  shift 2
  [ -e "$run/.done" ] || $train_cmd train $here/conf/"$config" "$@" --out "$run"
  touch "$run/.done"
}

mixture=() wide=()  # a part that is given twice is drawn twice as often
for part in "${parts[@]}" vctk/train vctk/train vctk/train all/npvcc; do mixture+=(--data $data/$part); done
for part in vctk/train all/npvcc ${synthetic:+all/synthetic}; do wide+=(--data $data/wide/$part); done
learn codes.yaml $codes "$@" "${mixture[@]}" --held-out $data/vctk/dev
learn vocoder.yaml $vocoder "${wide[@]}" --held-out $data/wide/vctk/dev
learn vocoder.yaml $tuned training.init_from=$vocoder training.max_minutes=110 training.learning_rate=6.0e-4 \
  training.predicted_features=0.6 training.acoustic_model=$codes "${wide[@]}" --held-out $data/wide/vctk/dev

# half the bytes, and only clean voices with a minute of speech or more
if [ ! -e $out/vocoder/model.safetensors ]; then
  rm -rf $out
  mapfile -t voices < <(grep -xFf $codes/speakers.txt $here/conf/voices.txt)
  vqspeech export $codes --out $out --bfloat16 --at-least-s 60 "${voices[@]/#/--speaker=}"
  if [ ! -e $data/wide/converted/packed ]; then  # conversions by the source-filter vocoder, for the WaveNet
    python $here/local/convert_corpus.py $out $data/converted $data/{vctk,librispeech,speechocean}/train $data/all/npvcc \
      --hours 6 --enrol 100
    vqspeech data combine $data/converted --out $data/wide/converted --force
    vqspeech data pack $data/wide/converted --bits 16 --nj "$nj"
  fi
  learn vocoder.yaml $distilled training.init_from=$tuned training.max_minutes=205 training.learning_rate=6.0e-4 \
    "${wide[@]}" --data $data/wide/converted --held-out $data/wide/vctk/dev
  vqspeech export $distilled --out $out/vocoder --bfloat16
fi
python $here/local/describe.py $out $here/conf/speakers.tsv
cp $here/README.md $out/README.md

for part in "${parts[@]}" vctk/dev; do vqspeech tokenize $data/$part --model $out --nj "$nj"; done
learn prior.yaml $prior "${mixture[@]}" --held-out $data/vctk/dev
[ -e $out/prior/model.safetensors ] || vqspeech export $prior --out $out/prior --bfloat16
vqspeech probe --model $out --train $data/vctk/train --test $data/vctk/test

bash $here/local/measure.sh $out "$asr" exp/pretrained-measured
exit
}
