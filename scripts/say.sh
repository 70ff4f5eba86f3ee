# Sourced by the other scripts: one way to report a problem, one way to use apt.

# Ends the script with one sentence on standard error.
give_up() {
  printf '%s\n' "$*" >&2
  exit 1
}

# Whether this user may install system packages here without being asked anything.
may_use_apt() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

# apt_install PACKAGE...: fails, with apt's own words on standard error, when a package cannot be had.
apt_install() {
  apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
