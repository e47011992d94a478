# shellcheck shell=bash
# What the machine needs: Debian packages, the virtual environment, front-end files.
# Sourced after common.sh. A second call finds everything and takes part of a second.

# shellcheck disable=SC2034  # for those who source this
RUN_PACKAGES=(python3-venv python3-dev pkg-config gcc libvirt-dev
  libldap-dev libsasl2-dev libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils openvswitch-switch
  dnsmasq-base git iptables nftables openssh-server openssh-client openssl redis-server iproute2
  ethtool util-linux procps iputils-ping zstd tcpdump)
# shellcheck disable=SC2034
IMAGE_PACKAGES=(syslinux syslinux-common mtools dosfstools e2fsprogs fdisk kmod cpio
  zstd xz-utils jq)
# shellcheck disable=SC2034
TEST_PACKAGES=(shellcheck dropbear-bin busybox-static curl postgresql tcsh fish
  mmdebstrap debian-archive-keyring slapd tmux)

as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

# Prints those of the packages that are not installed.
missing_packages() {
  local package installed
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2> /dev/null |
    awk '$1 == "installed" {print $2}' || true)
  for package in "$@"; do
    grep -qxF "$package" <<< "$installed" || printf '%s\n' "$package"
  done
}

ensure_packages() {
  local missing
  [[ -r /etc/debian_version ]] || fail "This needs Debian 12 or later, or Ubuntu 24.04 or later: it installs packages with apt."
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  [[ $EUID -eq 0 ]] || command -v sudo > /dev/null ||
    fail "These packages are missing: ${missing[*]}" "Run this as root or install sudo."
  apt_get update
  keep_directory_off
  apt_get install --no-install-recommends "${missing[@]}"
}

# Tests run a slapd of their own; the machine's gets no directory, without which it does
# not start.
keep_directory_off() {
  as_root debconf-set-selections <<< "slapd slapd/no_configuration boolean true"
}

# Another apt may be at work, as unattended-upgrades on a fresh machine: wait.
apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -qq -y \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# Chromium's headless shell is its engine without windows of its own, which cost more than
# the pages in them. Ubuntu's chromium is a snap, which namespaces and root cannot use;
# there only an already installed browser counts. Fails when there is none.
ensure_browser() {
  if [[ -z ${CHROMIUM:-} ]] && grep -qx 'ID=debian' /etc/os-release; then
    (ensure_packages chromium-headless-shell) || warn "Another browser will do."
  fi
  find_browser > /dev/null
}

find_browser() {
  local path
  for path in "${CHROMIUM:-}" /usr/bin/chromium-headless-shell /usr/bin/chromium \
    /usr/bin/google-chrome /usr/bin/chromium-browser; do
    [[ -x $path ]] || continue
    # Ubuntu's chromium-browser only points to the snap.
    grep -qs snap <(head -c 4096 "$path") && continue
    printf '%s\n' "$path"
    return
  done
  return 1
}

# The distribution's, as in the Dockerfile: a Python that was built from source, as pyenv does,
# has seldom been optimised, and all takes a sixth longer with it.
find_python() {
  local check='import ensurepip, sys; sys.exit(sys.version_info < (3, 11))'
  if /usr/bin/python3 -c "$check" 2> /dev/null; then
    echo /usr/bin/python3
  else
    echo python3
  fi
}

# ensure_venv LOCK: pip runs only when the lock file (of script/lock) changed.
ensure_venv() {
  local stamp=$VENV/.requirements-${1%.lock} digest
  digest=$(sha256sum < "$CHECKOUT/$1")
  [[ -x $VENV/bin/python && $(cat "$stamp" 2> /dev/null) == "$digest" ]] && return
  [[ -x $VENV/bin/python ]] || "$(find_python)" -m venv "$VENV"
  "$VENV/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
    -r "$CHECKOUT/$1"
  printf '%s\n' "$digest" > "$stamp"
}

# The editor's CodeMirror, the consoles' xterm.js and noVNC, and the charts' uPlot, bundled
# into static/vendor: pinned in front_end, not committed. Without them the editor is a plain
# text area, the page of consoles says that its display is not there, and charts are tables.
ensure_front_end() {
  local stamp=$CHECKOUT/static/vendor/.front-end digest
  digest=$(cd "$CHECKOUT/front_end" && cat package.json package-lock.json ./*.js | sha256sum)
  [[ $(cat "$stamp" 2> /dev/null) == "$digest" ]] && return
  if step "Build the editor, the consoles and the charts" build_front_end; then
    printf '%s\n' "$digest" > "$stamp"
  else
    warn "CodeMirror, xterm.js, noVNC and uPlot are missing or old: without them"
    warn "the editor is a plain text area, consoles show nothing, and charts are tables."
    warn "The next call tries again."
  fi
}

# esbuild's program is a package of its own: no install script has to run.
build_front_end() {
  { command -v npm > /dev/null || ensure_packages npm; } &&
    cd "$CHECKOUT/front_end" &&
    npm ci --ignore-scripts --no-audit --no-fund &&
    npm run build
}
