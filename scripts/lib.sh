# Shared by the scripts here; sourced, never run.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
PYTHON=.venv/bin/python

say() { printf '\033[1m== %s\033[0m\n' "$*"; }
die() { printf 'kina: %s\n' "$*" >&2; exit 1; }

on_mac() { [[ $OSTYPE == darwin* ]]; }
checksum=(sha256sum)
if on_mac; then checksum=(shasum -a 256); fi

# timed TEXT COMMAND...: says what is done, does it, says how long it took.
timed() {
    local text=$1 start=$SECONDS
    shift
    say "$text"
    "$@"
    printf '   (%d s)\n' $((SECONDS - start))
}

# digest PATH...: one checksum over the contents of files and trees.
digest() { find "$@" -type f -not -path '*/.build/*' -not -name '*.pyc' -print0 | sort -z | xargs -0 "${checksum[@]}" | "${checksum[@]}"; }

# fresh STAMP DIGEST: does STAMP say that DIGEST was done?
fresh() { [[ -e $1 && $(<"$1") == "$2" ]]; }
