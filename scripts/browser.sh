#!/bin/sh
# Makes sure there is a Chromium for the browser tests: an installed one, else Debian's when this user may install it.
set -eu
cd "$(dirname "$0")/.."
. scripts/say.sh

for browser in chromium chromium-browser google-chrome; do
  ! command -v "$browser" >/dev/null 2>&1 || exit 0
done
echo "Installing Chromium for the browser tests …"
may_use_apt && apt_install chromium fonts-dejavu-core ||
  give_up "The browser tests need Chromium: install it and run make again, or leave them out: make test TESTS='-m \"not browser\"'"
