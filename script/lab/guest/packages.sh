# shellcheck shell=bash
# Which packages the test guest is made of, and how they get here: downloaded with
# everything they need, unpacked, never installed.

GUEST_PROGRAMS=(busybox bash dropbear-bin openssh-sftp-server sudo jq iputils-ping
  fdisk e2fsprogs util-linux coreutils procps qemu-guest-agent)

# The small kernel of each distribution; its image depends on the real package.
kernel_package() {
  local meta kernel
  meta=linux-image-cloud-amd64
  apt-cache show "$meta" > /dev/null 2>&1 || meta=linux-image-virtual
  kernel=$(apt-cache depends "$meta" 2> /dev/null |
    awk '$1 == "Depends:" && $2 ~ /^linux-image-/ {print $2; exit}')
  printf '%s\n' "$kernel"
}

# Packages without what they depend on. Ubuntu keeps the modules beside the kernel;
# busybox-static conflicts with busybox, which is there for its resolver.
single_packages() {
  local kernel
  kernel=$(kernel_package)
  printf '%s\n' busybox-static "$kernel"
  apt-cache depends "$kernel" |
    awk '$1 == "Depends:" && $2 ~ /^linux-modules-[0-9]/ {print $2}'
}

package_versions() {
  local kernel policy
  kernel=$(kernel_package)
  [[ -n $kernel ]] || { printf 'unknown\n'; return; }
  policy=$(LC_ALL=C apt-cache policy "$kernel" libc6 busybox-static "${GUEST_PROGRAMS[@]}" |
    awk '/^[^ ]/ {name = $1} $1 == "Candidate:" {print name, $2}')
  if [[ $policy == *"(none)"* ]]; then
    printf 'unknown\n'
  else
    printf '%s' "$policy" | sha256sum | cut -c1-12
  fi
}

# An empty status file makes apt list every dependency, installed here or not.
download_packages() {
  local work=$1 singles
  mkdir -p "$work/archives/partial"
  : > "$work/status"
  mapfile -t singles < <(single_packages)
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
    --download-only -o Dir::State::status="$work/status" \
    -o Dir::Cache::archives="$work/archives" -o APT::Sandbox::User=root \
    install "${GUEST_PROGRAMS[@]}"
  (cd "$work/archives" &&
    apt-get -qq -o APT::Sandbox::User=root download "${singles[@]}")
}

unpack_packages() {
  local work=$1 archive directory
  for directory in bin sbin lib lib64; do
    mkdir -p "$work/stage/usr/$directory"
    ln -s "usr/$directory" "$work/stage/$directory"
  done
  for archive in "$work"/archives/*.deb; do
    case ${archive##*/} in
      perl* | libperl* | usrmerge*) continue ;;
      busybox-static_*) mkdir -p "$work/static"; dpkg-deb -x "$archive" "$work/static"; continue ;;
    esac
    dpkg-deb --fsys-tarfile "$archive" |
      tar -x --keep-directory-symlink -C "$work/stage"
  done
}
