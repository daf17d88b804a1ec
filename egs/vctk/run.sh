#!/usr/bin/env bash
# VCTK from recordings to a voice converter.  Each stage is one command and leaves one file in
# $exp/.done; a stage that is done is not run again, one that failed is.
#
#   bash egs/vctk/run.sh                     the embedded mini corpus, a quarter of an hour on two cores
#   bash egs/vctk/run.sh --vctk DIR          VCTK 0.80 or 0.92 in DIR
#   bash egs/vctk/run.sh --download          fetches VCTK 0.92 into downloads/ first
#   --extra DIR      a Kaldi data directory to train on as well (may be given again)
#   --config YAML    egs/vctk/conf/vctk64.yaml with a corpus, mini.yaml without
#   --labels DIR     cut silence at these phone labels (DIR/pXXX/pXXX_NNN.lab) instead of by level
#   --set KEY=VALUE  an override of the config (may be given again)
#   --stage N --stop-stage N --nj N
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

vctk="" config="" labels="" extra=() overrides=()
stage=1 stop_stage=9 nj=$(nproc)
while [ $# -gt 0 ]; do
  case $1 in
    --download) vctk=downloads/VCTK-Corpus-0.92 download=1; shift; continue ;;
    --vctk | --config | --labels | --extra | --set | --stage | --stop-stage | --nj)
      [ $# -ge 2 ] || { echo "run.sh: $1 wants a value" >&2; exit 2; } ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; echo "run.sh: unknown option $1" >&2; exit 2 ;;
  esac
  case $1 in
    --vctk) vctk=$2 ;; --config) config=$2 ;; --labels) labels=$2 ;; --extra) extra+=("$2") ;;
    --set) overrides+=("$2") ;; --stage) stage=$2 ;; --stop-stage) stop_stage=$2 ;; --nj) nj=$2 ;;
  esac
  shift 2
done

. egs/vctk/path.sh
. egs/vctk/cmd.sh
[ -z "${download:-}" ] || bash egs/vctk/local/download_vctk.sh downloads
if [ -z "$vctk" ]; then
  echo "No VCTK given (--vctk DIR, or --download): running on the embedded mini corpus of synthetic voices."
  tag=mini
else
  tag=$(basename "$vctk")
fi
config=${config:-egs/vctk/conf/$([ -n "$vctk" ] && echo vctk64 || echo mini).yaml}
data=data/$tag exp=exp/$tag model=exp/$tag/$(basename "$config" .yaml)
mkdir -p "$exp/.done"
began=$SECONDS

run_stage() {  # run_stage NUMBER NAME COMMAND...
  local number=$1 name=$2 mark=$exp/.done/$2
  shift 2
  [ "$number" -ge "$stage" ] && [ "$number" -le "$stop_stage" ] || return 0
  if [ -e "$mark" ]; then echo "stage $number, $name: done"; return 0; fi
  echo "stage $number, $name"
  "$@"
  touch "$mark"
}

parts=("$data/train" "$data/dev" "$data/test")
for one in "${extra[@]}"; do parts+=("$data/extra/$(basename "$one")"); done

make_data() {
  [ -n "$vctk" ] || $cpu_cmd data mini downloads/mini
  python egs/vctk/local/prepare_vctk.py "${vctk:-downloads/mini}" "$data/all"
  $cpu_cmd data cut "$data/all" --nj "$nj" ${labels:+--labels "$labels"}
  $cpu_cmd data split "$data/all" "$data"
  for one in "${extra[@]}"; do
    $cpu_cmd data combine "$one" --out "$data/extra/$(basename "$one")"
    $cpu_cmd data cut "$data/extra/$(basename "$one")" --nj "$nj"
  done
}

validate_data() {
  for part in "${parts[@]}"; do $cpu_cmd data validate "$part"; done
}

pack_data() {
  for part in "${parts[@]}"; do $cpu_cmd data pack "$part" --nj "$nj"; done
}

train_vqvae() {
  local learned=(--data "$data/train")
  for one in "${extra[@]}"; do learned+=(--data "$data/extra/$(basename "$one")"); done
  $train_cmd train "$config" "${overrides[@]}" "${learned[@]}" --held-out "$data/dev" --out "$model"
}

convert_test() {  # four recordings that training never saw, in four voices
  mkdir -p "$exp/converted"
  python egs/vctk/local/choose_pairs.py "$data/test" "$model/speakers.txt" 4 |
    while read -r wav speaker; do
      vqspeech convert --model "$model" --speaker "$speaker" --out-dir "$exp/converted" "$wav"
    done
}

run_stage 1 data make_data
run_stage 2 validation validate_data
run_stage 3 packing pack_data
run_stage 4 vqvae train_vqvae
run_stage 5 conversion convert_test

[ "$stop_stage" -ge 5 ] || exit 0
echo
echo "Finished in $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s.  Held out, and never seen:"
python egs/vctk/local/summary.py "$model" "$exp/converted"
