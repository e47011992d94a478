# shellcheck shell=bash
# A root file system of another distribution, as script/lab/debian-root makes it, for a
# namespace host. Hosts share its /usr, which nobody can write; the rest each has in
# memory. in-debian-13 has a copy on disk and takes the later steps from here.

DEVICES=(null zero full random urandom tty net/tun vhost-net kvm)

# enter_root ROOT DIR: of this machine's files only DIR stays in sight.
enter_root() {
  local root=$1 dir=$2 new=$2/root
  mkdir -p "$new"
  mount -t tmpfs -o mode=755 tmpfs "$new" || return 1
  copy_root "$root" "$new" || return 1
  printf '127.0.0.1 localhost %s\n' "$(uname -n)" > "$new/etc/hosts"
  make_devices "$new/dev"
  mount --rbind /proc "$new/proc"
  mount --rbind /sys "$new/sys"
  mkdir -p "$new$dir"
  mount --bind "$dir" "$new$dir"
  step_into "$new"
}

# step_into NEW: after a mere chroot libvirt cannot make the mount namespace of a guest.
step_into() {
  mkdir -p "$1/old"
  cd "$1" || return 1
  pivot_root . old || return 1
  cd / || return 1
  umount -l /old
  rmdir /old
  hash -r
}

copy_root() {
  local root=$1 new=$2 path
  for path in "$root"/*; do
    case ${path##*/} in
      usr)
        mkdir "$new/usr"
        mount --bind "$path" "$new/usr" || return 1
        mount -o remount,bind,ro "$new/usr" || return 1
        ;;
      dev | proc | run | sys) mkdir "$new/${path##*/}" ;;
      *) cp -a "$path" "$new/" || return 1 ;;
    esac
  done
}

make_devices() {
  local dev=$1 name
  # libvirt makes a guest's own /dev from what is mounted there.
  mount -t tmpfs -o mode=755 tmpfs "$dev"
  mkdir -p "$dev"/{net,pts}
  mkdir -m 1777 "$dev/shm"
  for name in "${DEVICES[@]}"; do
    [[ ! -c /dev/$name ]] || cp -a "/dev/$name" "$dev/$name"
  done
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$dev/pts"
  ln -s pts/ptmx "$dev/ptmx"
  ln -s /proc/self/fd "$dev/fd"
  ln -s fd/0 "$dev/stdin"
  ln -s fd/1 "$dev/stdout"
  ln -s fd/2 "$dev/stderr"
}

# The group kvm has another number in another distribution, and libvirt probes QEMU
# for 75 s at each definition when it may not open the device.
give_kvm_to_its_group() {
  [[ -c /dev/kvm ]] || return 0
  chgrp kvm /dev/kvm
  chmod 660 /dev/kvm
}
