#!/bin/sh
# Installs the aider command into .cache/aider, an environment of its own, for tests/acceptance/test_gateway_aider.py.
set -eu
cd "$(dirname "$0")/.."
. scripts/say.sh

[ ! -x .cache/aider/bin/aider ] || exit 0
echo "Installing aider into .cache/aider; it is large and takes minutes, once …"
"${PYTHON:-python3}" -m venv .cache/aider
.cache/aider/bin/pip install --quiet "aider-chat>=0.86,<0.87" ||
  give_up "aider could not be installed: see the lines above. Its test is left out without it."
