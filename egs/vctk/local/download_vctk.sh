#!/usr/bin/env bash
# Fetches VCTK 0.92 into a folder: URL and SHA-256 are torchaudio's, curl goes on where it was stopped.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 DIR [URL SHA256]" >&2; exit 2; }
folder=$1
url=${2:-$(python -c 'from torchaudio.datasets.vctk import URL; print(URL)')}
sum=${3:-$(python -c 'from torchaudio.datasets import vctk; print(vctk._CHECKSUMS[vctk.URL])')}
archive=$folder/${url##*/}
corpus=$folder/VCTK-Corpus-0.92

[ -d "$corpus" ] && { echo "$corpus is there"; exit 0; }
mkdir -p "$folder"
echo "VCTK 0.92: 11 GB to download from $url, and as much again to unpack, into $folder" >&2
if [ ! -f "$archive" ]; then
  curl --fail --location --continue-at - --output "$archive.part" "$url" ||
    { echo "$0: the download stopped; the same command goes on with $archive.part" >&2; exit 1; }
  echo "$sum  $archive.part" | sha256sum --check --status ||
    { rm -f "$archive.part"; echo "$0: $url is not what it should be (SHA-256 differs); removed, try again" >&2; exit 1; }
  mv "$archive.part" "$archive"
fi
rm -rf "$corpus.part"
python -m zipfile --extract "$archive" "$corpus.part"
mv "$corpus.part" "$corpus"
