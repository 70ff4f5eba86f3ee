#!/bin/sh
# Installs what checks the dashboard's JavaScript: Node.js when it is missing, then the packages of package-lock.json.
set -eu
cd "$(dirname "$0")/.."
. scripts/say.sh

if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
  may_use_apt && apt_install nodejs npm ||
    give_up "Checking types needs Node.js 20 or newer with npm: install it and run make again."
fi
npm ci --silent --no-audit --no-fund ||
  give_up "npm could not install the packages of package-lock.json: check the network connection (or npm config list) and run make again."
touch node_modules/.installed
