# shellcheck shell=bash
# From root tree and kernel to a bootable qcow2, without mounts or loop devices:
# master boot record, a FAT partition with syslinux and the kernel, an ext4 root.

ALIGN_SECTORS=2048
BOOT_MIB=40
ROOT_MIB=512
# no_timer_check: on a busy host without KVM the timer's ticks come late, and the
# kernel would panic with "IO-APIC + timer doesn't work". The second line is work of a
# boot that emulation makes dear and no test needs: relocation, page tables of five
# levels, tests of ciphers, cleared memory, questions to the BIOS.
KERNEL_OPTIONS="console=ttyS0 quiet loglevel=4 net.ifnames=0 mitigations=off rcupdate.rcu_expedited=1 no_timer_check"
KERNEL_OPTIONS+=" nokaslr no5lvl cryptomgr.notests init_on_alloc=0 edd=off"

master_boot_code() {
  local path
  for path in /usr/lib/SYSLINUX/mbr.bin /usr/lib/syslinux/mbr/mbr.bin; do
    if [[ -f $path ]]; then printf '%s\n' "$path"; return; fi
  done
  fail "syslinux' mbr.bin is missing." "Install the package syslinux-common."
}

build_boot_partition() {
  local work=$1 image=$1/boot.img
  mkfs.vfat -C -n TESTBOOT -h "$ALIGN_SECTORS" "$image" $((BOOT_MIB * 1024)) > /dev/null
  printf '%s\n' 'DEFAULT guest' 'PROMPT 0' 'TIMEOUT 0' 'LABEL guest' '  KERNEL vmlinuz' \
    '  INITRD initrd' "  APPEND $KERNEL_OPTIONS" > "$work/syslinux.cfg"
  mcopy -i "$image" "$work"/stage/boot/vmlinuz-* ::vmlinuz
  mcopy -i "$image" "$work/initramfs.img" ::initrd
  mcopy -i "$image" "$work/syslinux.cfg" ::syslinux.cfg
  syslinux --install "$image"
}

build_root_partition() {
  local work=$1
  truncate -s "${ROOT_MIB}M" "$work/root.img"
  mkfs.ext4 -q -L testbed-root -m 1 -J size=8 -O ^metadata_csum_seed,^orphan_file \
    -E lazy_itable_init=0,lazy_journal_init=0,resize=33554432 \
    -d "$work/root" "$work/root.img"
}

build_disk() {
  local work=$1 disk=$1/disk.raw root_start
  build_boot_partition "$work"
  build_root_partition "$work"
  root_start=$((ALIGN_SECTORS + BOOT_MIB * 2048))
  truncate -s $((1 + BOOT_MIB + ROOT_MIB))M "$disk"
  printf '%s\n' 'label: dos' \
    "start=$ALIGN_SECTORS, size=$((BOOT_MIB * 2048)), type=c, bootable" \
    "start=$root_start, type=83" | sfdisk --quiet "$disk"
  dd if="$(master_boot_code)" of="$disk" bs=440 count=1 conv=notrunc status=none
  dd if="$work/boot.img" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
  dd if="$work/root.img" of="$disk" bs=1M seek=$((1 + BOOT_MIB)) \
    conv=notrunc,sparse status=none
  qemu-img convert -c -O qcow2 -o compression_type=zstd "$disk" "$work/disk.qcow2"
}
