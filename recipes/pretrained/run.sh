#!/usr/bin/env bash
# The model that ships with vqspeech, from a folder of speech:
#
#   bash recipes/pretrained/run.sh SPEECH [KEY=VALUE...]
#
# SPEECH has vctk-16k/ and its lab/ (VCTK 0.92's layout), and npvcc/, librispeech/ and speechocean/ (Kaldi data
# directories).  A training that was stopped goes on with the same command.  On several GPUs, or on a CPU in several
# processes, which is faster there than threads:
#
#   train_cmd="torchrun --standalone --nproc_per_node 2 -m vqspeech" OMP_NUM_THREADS=1 bash recipes/pretrained/run.sh SPEECH
set -euo pipefail
{
[ -d "${1:-}" ] || { echo "run.sh: give a folder of speech, as the head of this file says" >&2; exit 2; }
speech=$(realpath "$1")
shift
here=$(dirname "${BASH_SOURCE[0]}")
cd "$here/../.."
. egs/vctk/path.sh
train_cmd=${train_cmd:-vqspeech}
here=recipes/pretrained data=data/pretrained model=exp/pretrained out=exp/english-16k nj=$(nproc)

if [ ! -e $data/.done ]; then
  for corpus in npvcc librispeech speechocean; do
    vqspeech data combine "$speech/$corpus" --out $data/all/$corpus --force
    vqspeech data cut $data/all/$corpus --nj "$nj"
  done
  for corpus in librispeech speechocean; do
    python $here/local/hold_out.py $data/all/$corpus $here/conf/unseen.txt $data/$corpus
  done
  python egs/vctk/local/prepare_vctk.py "$speech/vctk-16k" $data/all/vctk
  vqspeech data cut $data/all/vctk --nj "$nj" --labels "$speech/vctk-16k/lab"
  vqspeech data split $data/all/vctk $data/vctk --force
  for part in all/npvcc librispeech/train speechocean/train vctk/train vctk/dev vctk/test; do
    vqspeech data pack $data/$part --nj "$nj"
  done
  touch $data/.done
fi

vctk=(--data $data/vctk/train) npvcc=(--data $data/all/npvcc) others=()  # what is given twice is heard twice as often
for corpus in librispeech speechocean; do others+=(--data $data/$corpus/train); done
mixture=("${vctk[@]}" "${vctk[@]}" "${vctk[@]}" "${vctk[@]}" "${npvcc[@]}" "${npvcc[@]}" "${others[@]}")

learn() {  # RUN KEY=VALUE...; one that is over is not begun again, one that was stopped goes on
  local run=$1
  shift
  [ -e "$run/.done" ] ||
    $train_cmd train $here/conf/english-16k.yaml "$@" "${mixture[@]}" --held-out $data/vctk/dev --out "$run"
  touch "$run/.done"
}
# First codes and their outline, which is a hundred times as fast; then the WaveNet, told these codes.
learn $model-sketch training.learns=sketch training.batch=12 training.muon=0 training.learning_rate=1.0e-3 \
  training.max_minutes=24 "$@"
learn $model training.init=$model-sketch "$@"

# half the bytes, and only the voices with a minute of speech or more
[ -e $out/model.safetensors ] || vqspeech export $model --out $out --bfloat16 --at-least-s 60
python $here/local/describe.py $out $here/conf/speakers.tsv
cp $here/README.md $out/README.md

for part in "${mixture[@]}" $data/vctk/dev; do
  [ "$part" = --data ] || vqspeech tokenize "$part" --model $out --nj "$nj"
done
vqspeech train $here/conf/prior.yaml "${mixture[@]}" --held-out $data/vctk/dev --out $model-prior
[ -e $out/prior/model.safetensors ] || vqspeech export $model-prior --out $out/prior --bfloat16

# sources that training never saw, of speakers that it knew and that it did not, in the ten clean voices
targets=(p225 p226 p227 p228 p232 p239 np_vcc_SF1 np_vcc_SM1 np_vcc_TF2 np_vcc_TM3)
unseen=($data/librispeech/unseen $data/speechocean/unseen)
python $here/local/pairs.py 20 $data/vctk/test "${unseen[@]}" -- "${targets[@]}" > $model/pairs.txt
vqspeech data combine $data/vctk/train $data/all/npvcc --out $data/voices --force
vqspeech evaluate $model/pairs.txt --model $out --voices $data/voices --held-out $data/vctk/test --out $model --force
exit
}
