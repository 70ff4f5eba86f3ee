#!/bin/sh
# Creates .venv and installs Ralex Monitor into it: `setup.sh` what running needs, `setup.sh dev` what tests and linters need too.
# PYTHON names the interpreter to use; without it, the first of Python 3.11 or newer that is found.
set -eu
cd "$(dirname "$0")/.."
. scripts/say.sh

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
    if new_enough "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

make_venv() {
  python=$(find_python) || {
    may_use_apt && [ -z "${PYTHON:-}" ] && apt_install python3 python3-venv || true
    python=$(find_python) || give_up "Ralex Monitor needs Python 3.11 or newer, and ${PYTHON:-python3} here is $(
      "${PYTHON:-python3}" --version 2>/dev/null || echo 'not installed'
    ). Install one and run: make setup PYTHON=/path/to/python3.12"
  }
  if ! "$python" -c 'import ensurepip' >/dev/null 2>&1; then
    package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    may_use_apt && apt_install "$package" ||
      give_up "$python cannot create virtual environments: install its venv package (apt-get install $package) and run make again."
  fi
  "$python" -m venv --clear .venv || give_up "Could not create .venv in $(pwd): see the lines above."
}

new_enough .venv/bin/python || make_venv

target=.
[ "${1:-}" = dev ] && target='.[dev]'
echo "Installing Ralex Monitor into .venv …"
.venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check -c constraints.txt -e "$target" ||
  give_up "pip could not install the packages above. Check the network connection (or your pip configuration: .venv/bin/pip config list)" \
    "and run make again; what is already installed is kept."

touch .venv/.installed
[ "${1:-}" != dev ] || touch .venv/.installed-dev
