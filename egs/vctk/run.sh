#!/usr/bin/env bash
# VCTK from recordings to a voice converter.  Each stage is one command and leaves one file in .done,
# beside what it made; a stage that is done is not run again, one that failed is.
#
#   bash egs/vctk/run.sh                     the embedded mini corpus, a quarter of an hour on two cores
#   bash egs/vctk/run.sh --vctk DIR          VCTK 0.80 or 0.92 in DIR
#   bash egs/vctk/run.sh --download          fetches VCTK 0.92 into downloads/ first
#   --extra DIR      a Kaldi data directory to train on as well (may be given again)
#   --config YAML    egs/vctk/conf/codes50.yaml with a corpus, mini.yaml without: codes and acoustic features, spoken by
#                    a WaveNet vocoder (vocoder.yaml, mini_vocoder.yaml); one that is named, as the paper's vctk64.yaml,
#                    is trained without a vocoder
#   --labels DIR     phone labels (DIR/p225/p225_001.lab or .TextGrid): silence is cut at them instead of by level,
#                    and the codes are probed with them; without, `text` is aligned if pocketsphinx is there
#   --set KEY=VALUE  an override of the config (may be given again)
#   --set-prior KEY=VALUE  the same of egs/vctk/conf/prior.yaml (mini_prior.yaml without a corpus)
#   --set-vocoder KEY=VALUE  the same of the vocoder's config
#   --stage N --stop-stage N --nj N
set -euo pipefail
{  # bash reads all of it before it runs: a newer version may arrive meanwhile
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
seen_from_root() { realpath --canonicalize-missing --no-symlinks --relative-to "$root" "$1"; }

vctk="" config="" labels="" extra=() overrides=() prior_overrides=() vocoder_overrides=()
stage=1 stop_stage=11 nj=$(nproc)
while [ $# -gt 0 ]; do
  case $1 in
    --download) vctk=downloads/VCTK-Corpus-0.92 download=1; shift; continue ;;
    --vctk | --config | --labels | --extra | --set | --set-prior | --set-vocoder | --stage | --stop-stage | --nj)
      [ $# -ge 2 ] || { echo "run.sh: $1 wants a value" >&2; exit 2; } ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; echo "run.sh: unknown option $1" >&2; exit 2 ;;
  esac
  case $1 in
    --vctk | --config | --labels) printf -v "${1#--}" %s "$(seen_from_root "$2")" ;;
    --extra) extra+=("$(seen_from_root "$2")") ;;
    --set) overrides+=("$2") ;;
    --set-prior) prior_overrides+=("$2") ;;
    --set-vocoder) vocoder_overrides+=("$2") ;;
    *) [[ $2 =~ ^[0-9]+$ ]] || { echo "run.sh: $1 $2 is no whole number" >&2; exit 2; }
      case $1 in --stage) stage=$2 ;; --stop-stage) stop_stage=$2 ;; --nj) nj=$2 ;; esac ;;
  esac
  shift 2
done
cd "$root"

. egs/vctk/path.sh
. egs/vctk/cmd.sh
[ -z "${download:-}" ] || bash egs/vctk/local/download_vctk.sh downloads
if [ -z "$vctk" ]; then
  echo "No VCTK given (--vctk DIR, or --download): running on the embedded mini corpus of synthetic voices."
  tag=mini
else
  tag=$(basename "$vctk")
fi
vocoder_config=""
[ -n "$config" ] || vocoder_config=egs/vctk/conf/$([ -n "$vctk" ] && echo vocoder || echo mini_vocoder).yaml
config=${config:-egs/vctk/conf/$([ -n "$vctk" ] && echo codes50 || echo mini).yaml}
[ -f "$config" ] || { echo "run.sh: $config: no such config" >&2; exit 2; }
data=data/$tag model=exp/$tag/$(basename "$config" .yaml)
prior=$model-prior
prior_config=egs/vctk/conf/$([ -n "$vctk" ] && echo prior || echo mini_prior).yaml
began=$SECONDS

run_stage() {  # run_stage NUMBER NAME DIR COMMAND...: DIR is the directory that the stage adds to
  local number=$1 name=$2 dir=$3
  shift 3
  [ "$number" -ge "$stage" ] && [ "$number" -le "$stop_stage" ] || return 0
  if [ -e "$dir/.done/$name" ]; then echo "stage $number, $name: $dir is done"; return 0; fi
  echo "stage $number, $name: $dir"
  "$@"
  mkdir -p "$dir/.done"
  touch "$dir/.done/$name"
}

parts=("$data/train" "$data/dev" "$data/test")
for source in ${extra[@]+"${extra[@]}"}; do parts+=("$data/extra/$(basename "$source")"); done

make_data() {
  [ -n "$vctk" ] || $cpu_cmd data mini downloads/mini
  python egs/vctk/local/prepare_vctk.py "${vctk:-downloads/mini}" "$data/all"
  $cpu_cmd data trim "$data/all" --nj "$nj" ${labels:+--labels "$labels"}
  $cpu_cmd data split "$data/all" "$data" --force
}

make_extra() {  # make_extra FROM TO
  $cpu_cmd data combine "$1" --out "$2" --force
  $cpu_cmd data trim "$2" --nj "$nj"
}

learned=(--data "$data/train")
for source in ${extra[@]+"${extra[@]}"}; do learned+=(--data "$data/extra/$(basename "$source")"); done

train_vqvae() {
  $train_cmd train "$config" ${overrides[@]+"${overrides[@]}"} "${learned[@]}" --held-out "$data/dev" --out "$model"
}

train_vocoder() {
  $train_cmd train "$vocoder_config" ${vocoder_overrides[@]+"${vocoder_overrides[@]}"} "${learned[@]}" \
    --held-out "$data/dev" --out "$model/vocoder"
}

make_codes() {  # make_codes DATA: in $nj processes, or in $code_jobs jobs on a cluster
  rm -f "$1"/.done/codes-*  # those of another model: there is one codes.scp
  if [ "$code_jobs" -gt 1 ]; then
    local pids=() pid
    for job in $(seq "$code_jobs"); do
      $cpu_cmd tokenize "$1" --model "$model" --shard "$job/$code_jobs" & pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    $cpu_cmd tokenize "$1" --model "$model" --merge
  else
    $cpu_cmd tokenize "$1" --model "$model" --nj "$nj"
  fi
}

train_prior() {
  $train_cmd train "$prior_config" ${prior_overrides[@]+"${prior_overrides[@]}"} "${learned[@]}" \
    --held-out "$data/dev" --out "$prior"
}

convert_test() {  # four recordings that training never saw, in four voices
  mkdir -p "$model/converted"
  python egs/vctk/local/choose_pairs.py "$data/test" "$model/speakers.txt" 4 > "$model/pairs.txt"
  while IFS=$'\t' read -r wav speaker; do
    vqspeech convert --model "$model" --speaker "$speaker" --out-dir "$model/converted" --force -- "$wav"
  done < "$model/pairs.txt"
}

make_phones() {
  if [ -n "$phone_labels" ]; then
    $cpu_cmd data align "$1" --labels "$phone_labels" --force
  else
    $cpu_cmd data align "$1" --nj "$nj" --force
  fi
}

probe_codes() {
  $cpu_cmd probe --model "$model" --train "$data/train" --test "$data/test"
}

evaluate_test() {
  $cpu_cmd evaluate "$model/pairs.txt" --model "$model" --voices "$data/train" --held-out "$data/test"
}

write_report() {
  $cpu_cmd report "$model" --pairs "$model/pairs.txt"
}

phone_labels=$labels
[ -n "$vctk" ] || phone_labels=${labels:-downloads/mini/lab}
can_probe=$([ -n "$phone_labels" ] || python -c 'import pocketsphinx' 2> /dev/null && echo yes || true)

run_stage 1 data "$data" make_data
for source in ${extra[@]+"${extra[@]}"}; do
  run_stage 1 data "$data/extra/$(basename "$source")" make_extra "$source" "$data/extra/$(basename "$source")"
done
for part in "${parts[@]}"; do run_stage 2 validation "$part" $cpu_cmd data validate "$part"; done
for part in "${parts[@]}"; do run_stage 3 packing "$part" $cpu_cmd data pack "$part" --nj "$nj"; done
run_stage 4 vqvae "$model" train_vqvae
[ -z "$vocoder_config" ] || run_stage 4 vocoder "$model/vocoder" train_vocoder
for part in "${parts[@]}"; do run_stage 5 "codes-$(basename "$model")" "$part" make_codes "$part"; done
run_stage 6 prior "$prior" train_prior
run_stage 7 conversion "$model" convert_test
if [ -n "$can_probe" ]; then
  for part in "$data/train" "$data/test"; do run_stage 8 phones "$part" make_phones "$part"; done
  run_stage 9 probe "$model" probe_codes
else
  echo "No labels of phones (--labels DIR) and no pocketsphinx (pip install 'vqspeech[measure]'): codes are not probed."
fi
run_stage 10 evaluation "$model" evaluate_test
run_stage 11 report "$model" write_report

[ "$stop_stage" -ge 11 ] || exit 0
echo
echo "Finished in $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s.  Held out, and never seen:"
python egs/vctk/local/summary.py "$model" "$model/converted" "$prior"
exit
}
