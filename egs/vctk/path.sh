# The environment of the recipe; sourced by run.sh, which stands in the root of the project.
[ -x .venv/bin/vqspeech ] || make setup || exit 1
export PATH="$PWD/.venv/bin:$PATH"
export LC_ALL=C.UTF-8   # tables are sorted by code point, as vqspeech sorts them
