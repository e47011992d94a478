# shellcheck shell=bash
# The guest's root file system and initramfs, picked from the unpacked packages.

PICKED_PROGRAMS=(usr/bin/bash usr/bin/sudo usr/bin/jq usr/bin/ping
  usr/bin/nohup usr/bin/pgrep usr/bin/pkill usr/bin/partx usr/sbin/sfdisk
  usr/sbin/resize2fs usr/sbin/dropbear
  usr/bin/dropbearkey usr/bin/dropbearconvert usr/lib/openssh/sftp-server
  usr/sbin/qemu-ga)

# Drivers that the disk and network need, those of a disk that is not virtio's, then
# those of a booted guest, then those for a seed that is a CD. Kernels differ in what is
# built in or missing.
EARLY_MODULES=(virtio_pci virtio_rng virtio_blk virtio_net ext4)
SCSI_MODULES=(virtio_scsi sd_mod)
BOOT_MODULES=(button evdev isofs virtio_console)
CDROM_MODULES=(ata_piix ahci sr_mod)

# Libraries of PROGRAM inside the stage, one path per line, without running it.
libraries_of() {
  local stage=$1 program=$2
  "$stage/lib64/ld-linux-x86-64.so.2" --inhibit-cache \
    --library-path "$stage/lib/x86_64-linux-gnu:$stage/usr/lib/sudo:$stage/usr/libexec/sudo" \
    --list "$stage/$program" | awk '$2 == "=>" && $3 ~ /^\// {print $3}'
}

# pick STAGE ROOT PATH...: copies files with their libraries, as they are.
pick() {
  local stage=$1 root=$2 path library
  shift 2
  for path in "$@"; do
    install -D -p -m "$(stat -L -c %a "$stage/$path")" "$stage/$path" "$root/$path"
    while read -r library; do
      library=usr/${library#"$stage"/}
      library=${library/#usr\/usr\//usr/}
      [[ -f $root/$library ]] || install -D -m 755 "$stage/$library" "$root/$library"
    done < <(libraries_of "$stage" "$path")
  done
  install -D -m 755 "$stage/lib64/ld-linux-x86-64.so.2" \
    "$root/usr/lib64/ld-linux-x86-64.so.2"
}

make_tree() {
  local root=$1 directory
  for directory in bin sbin lib lib64; do
    mkdir -p "$root/usr/$directory"
    ln -s "usr/$directory" "$root/$directory"
  done
  mkdir -p "$root"/{dev,proc,sys,run,tmp,root,home,mnt,opt,srv,etc} \
    "$root"/var/{lib/testbed-guest,lib/sudo,log,tmp,cache}
  ln -s ../run "$root/var/run"
  chmod 1777 "$root/tmp" "$root/var/tmp"
  chmod 700 "$root/root"
}

# The static busybox starts in 12 ms under emulation, the dynamic one in 30 ms.
# Every applet that no real program provides becomes a link to it.
install_busybox() {
  local work=$1 root=$2 static applet
  static=$(find "$work/static" -type f -path "*/bin/busybox")
  install -D -m 755 "$static" "$root/usr/bin/busybox"
  for applet in $("$static" --list); do
    [[ -e $root/usr/bin/$applet || -e $root/usr/sbin/$applet ]] ||
      ln -s busybox "$root/usr/bin/$applet"
  done
}

# A static program cannot load libc's resolver: what looks up names gets the
# dynamic busybox.
install_network_busybox() {
  local stage=$1 root=$2 applet
  pick "$stage" "$root" usr/bin/busybox
  mv "$root/usr/bin/busybox" "$root/usr/bin/busybox-net"
  for applet in nc wget telnet nslookup traceroute ftpget ftpput ntpd tftp; do
    ln -s busybox-net "$root/usr/bin/$applet"
  done
}

# add_modules STAGE DIRECTORY LIST NAME...: copies the modules and what they need
# to DIRECTORY, uncompressed, and writes their order to DIRECTORY/LIST.
add_modules() {
  local stage=$1 directory=$2 list=$3 version name path target
  shift 3
  version=$(basename "$stage"/lib/modules/*)
  mkdir -p "$directory"
  : > "$directory/$list"
  for name in "$@"; do
    while read -r path; do
      target=$(basename "$path")
      target=${target%.ko*}.ko
      grep -qx "$target" "$directory"/* 2> /dev/null && continue
      case $path in
        *.zst) zstd -dqc "$path" > "$directory/$target" ;;
        *.xz) xz -dc "$path" > "$directory/$target" ;;
        *) cp "$path" "$directory/$target" ;;
      esac
      remove_signature "$directory/$target"
      echo "$target" >> "$directory/$list"
    done < <(modprobe -d "$stage" -S "$version" --show-depends "$name" 2> /dev/null |
      awk '$1 == "insmod" {print $2}')
  done
}

# The kernel would check each at each boot, which emulation makes dear. The signature's
# length is in the four bytes before the words at the end.
remove_signature() {
  local module=$1 words='~Module signature appended~' length
  [[ $(tail -c 28 "$module" | tr -d '\0') == "$words" ]] || return 0
  length=$(tail -c 32 "$module" | od -A n -t u4 -N 4 --endian=big)
  truncate -s "-$((length + 40))" "$module"
}

build_root() {
  local stage=$1/stage root=$1/root
  make_tree "$root"
  depmod -b "$stage" "$(basename "$stage"/lib/modules/*)"
  pick "$stage" "$root" "${PICKED_PROGRAMS[@]}"
  pick_sudo "$stage" "$root"
  install_network_busybox "$stage" "$root"
  install_busybox "$1" "$root"
  ln -s openssh/sftp-server "$root/usr/lib/sftp-server"
  add_modules "$stage" "$1/early-modules" order "${EARLY_MODULES[@]}"
  add_modules "$stage" "$1/early-modules" scsi "${SCSI_MODULES[@]}"
  install -D "$1/early-modules/order" "$root/usr/lib/testbed/modules/order"
  add_modules "$stage" "$root/usr/lib/testbed/modules" boot "${BOOT_MODULES[@]}"
  add_modules "$stage" "$root/usr/lib/testbed/modules" cdrom "${CDROM_MODULES[@]}"
  cp -a "$RECIPE/rootfs/." "$root/"
  ln -s poweroff "$root/usr/sbin/reboot"
  ln -s poweroff "$root/usr/sbin/halt"
  ln -s poweroff-now "$root/usr/sbin/reboot-now"
  ln -s poweroff-now "$root/usr/sbin/halt-now"
  ln -s ../bin/busybox "$root/usr/sbin/init"
  ln -s ../run/testbed/resolv.conf "$root/etc/resolv.conf"
  chown -R 0:0 "$root"
  chmod 4755 "$root/usr/bin/sudo"
  install -d -m 750 "$root/etc/sudoers.d"
  chmod 440 "$root/etc/sudoers"
  chmod 600 "$root/etc/shadow"
}

# sudo opens its plugins and PAM its modules by path: no linker knows of them.
pick_sudo() {
  local stage=$1 root=$2 plugins path
  plugins=usr/libexec/sudo
  [[ -d $stage/$plugins ]] || plugins=usr/lib/sudo
  for path in "$stage/$plugins"/{sudoers,libsudo_util}*.so* \
    "$stage"/usr/lib/x86_64-linux-gnu/security/pam_permit.so; do
    pick "$stage" "$root" "${path#"$stage"/}"
  done
}

build_initramfs() {
  local root=$1/initramfs applet
  mkdir -p "$root"/{dev,proc,sys,root,usr/bin}
  ln -s usr/bin "$root/bin"
  ln -s usr/bin "$root/sbin"
  install -m 755 "$1/root/usr/bin/busybox" "$root/usr/bin/busybox"
  for applet in sh mount insmod findfs usleep sleep switch_root; do
    ln -s busybox "$root/usr/bin/$applet"
  done
  cp -a "$1/early-modules" "$root/modules"
  install -m 755 "$RECIPE/initramfs-init" "$root/init"
  (cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) \
    > "$1/initramfs.img"
}
