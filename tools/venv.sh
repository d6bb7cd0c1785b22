#!/bin/sh
# Make .venv anew: find a Python 3.11, install the locked versions (hashes checked) and the project.
# When it fails or is interrupted, the environment that was there before comes back.
set -eu
unset CDPATH
cd -- "$(dirname -- "$0")/.."
PATH=$PATH:${HOME-}/.local/bin  # where pipx and uv's own installer put uv

# Of the caller's settings for uv, only those count that say where packages come from.
for name in $(env | sed -nE 's/^((PYTHON|UV_|VIRTUAL_ENV)[A-Z0-9_]*)=.*/\1/p' |
              grep -vE 'INDEX|FIND_LINKS|TLS|CERT|INSECURE|KEYRING|TIMEOUT|RETRIES|CACHE|OFFLINE|UV_PYTHON_'); do
    unset "$name"
done

has() { "$@" >/dev/null 2>&1; }
has_uv() { has uv --version; }

find_python() {
    for python in python3.11 python3 "${PYENV_ROOT:-${HOME-}/.pyenv}"/versions/3.11*/bin/python3 \
                  "$(has_uv && uv python find --system 3.11 2>/dev/null)"; do
        has "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' && return
    done
    return 1
}

# What MXNet's wheel needs from the system and does not find.
missing_libraries() {
    case "$(uname -sm)" in
        "Linux x86_64") needed="libgomp.so.1 libquadmath.so.0" ;;
        "Linux aarch64") needed="libgomp.so.1 libblas.so.3 liblapacke.so.3" ;;
        *) needed= ;;
    esac
    for library in $needed; do
        has "$python" -c "import ctypes; ctypes.CDLL('$library')" || printf ' %s' "$library"
    done
}

give_up() {
    libraries="libgomp1 libquadmath0"
    [ "$(uname -m)" != aarch64 ] || libraries="libgomp1 libopenblas0-pthread liblapacke"
    system=$(. /etc/os-release 2>/dev/null && echo "${ID-} ${VERSION_ID-}") || system=
    if [ "$system" = "debian 12" ]; then
        type="sudo apt install python3-venv $libraries"
    elif has apt-get --version; then
        type="sudo apt install $libraries; where there is no Python 3.11, install uv, which brings one"
    elif has dnf --version; then
        type="sudo dnf install python3.11 libgomp libquadmath"
    elif has brew --version; then
        type="brew install python@3.11"
    else
        type="install Python 3.11 with venv, or uv, and the libraries libgomp and libquadmath"
    fi
    echo "$1. Type: $type. Then try again." >&2
    exit 1
}

finish() {
    status=$?
    if [ ! -e .venv/.ready ]; then
        rm -rf .venv
        if [ -e .venv.old ]; then
            mv .venv.old .venv
            echo "The environment that was here before is back. To go on with it: make -o .venv/.ready lab" >&2
        fi
    fi
    rm -rf .venv.old
    exit "$status"
}

# .venv.old is the last one that was complete, even when this script was killed.
if [ -e .venv/.ready ]; then
    rm -rf .venv.old
    mv .venv .venv.old
fi
rm -rf .venv
trap 'exit 130' INT TERM HUP
trap finish EXIT

if ! find_python; then
    has_uv || give_up "No Python 3.11 here"
    uv python install 3.11
    find_python || give_up "No Python 3.11 here"
fi
missing=$(missing_libraries)
[ -z "$missing" ] || give_up "MXNet needs libraries that are missing:$missing"
has "$python" -c 'import ensurepip, venv' || has_uv || give_up "$python has no venv"

# A folder for what JupyterLab, IPython and matplotlib keep, apart from the user's own settings.
mkdir -p .venv/home
[ ! -e .venv.old/home ] || cp -R .venv.old/home .venv/
[ -w "${HOME:-/nowhere}" ] || { HOME=$PWD/.venv/home; export HOME; }

if has "$python" -c 'import ensurepip, venv'; then
    "$python" -m venv .venv
    .venv/bin/python tools/install.py --no-deps --require-hashes --requirement requirements.txt
    .venv/bin/python tools/install.py --no-deps --no-build-isolation --editable .
else
    uv venv --python "$python" --allow-existing .venv
    uv pip install --python .venv --no-deps --require-hashes --requirement requirements.txt
    uv pip install --python .venv --no-deps --no-build-isolation --editable .
fi
if [ "$(uname -sm)" = "Linux aarch64" ]; then
    # MXNet's wheel asks for Arm Performance Libraries, which it does not bring. It uses their BLAS
    # and LAPACK, which OpenBLAS has under the same names, and their versions of libm and libc.
    for pair in liblapacke.so.3:libarmpl_lp64_mp.so libm.so.6:libamath.so libc.so.6:libastring.so; do
        found=$(/sbin/ldconfig -p | sed -n "s/.*${pair%:*} .*=> //p" | head -n 1)
        ln -s "$found" ".venv/lib/python3.11/site-packages/mxnet/${pair#*:}"
    done
fi
# Without this JupyterLab asks a server for news at each start.
mkdir -p .venv/etc/jupyter/labconfig
echo '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}' \
    > .venv/etc/jupyter/labconfig/page_config.json
pwd -P > .venv/.ready
