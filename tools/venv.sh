#!/bin/sh
# Lay .venv anew: find a Python 3.11, install the locked versions (hashes checked) and the project.
set -eu
cd "$(dirname "$0")/.."

has() { "$@" >/dev/null 2>&1; }
has_uv() { has uv --version; }

find_python() {
    for python in python3.11 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11*/bin/python3 \
                  "$(has_uv && uv python find --system 3.11 2>/dev/null)"; do
        has "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' && return
    done
    return 1
}

rm -rf .venv
if ! find_python; then
    python=3.11  # uv brings one
    has_uv || { echo "No Python 3.11 here: install it (Debian, Ubuntu: python3.11 and python3.11-venv) or uv, then try again." >&2; exit 1; }
fi

if has "$python" -c 'import ensurepip, venv'; then
    "$python" -m venv .venv
    .venv/bin/python -m pip install --no-deps --require-hashes -r requirements.txt
    .venv/bin/python -m pip install --no-deps --no-build-isolation -e .
elif has_uv; then
    uv venv --python "$python" .venv
    uv pip install --python .venv --require-hashes -r requirements.txt
    uv pip install --python .venv --no-deps --no-build-isolation -e .
else
    echo "$python has no venv: install it (Debian, Ubuntu: apt install python3.11-venv) or uv, then try again." >&2
    exit 1
fi
pwd -P > .venv/.ready
