# shellcheck shell=bash
# What a namespace host has on its "disk", below DIR: private copies of every
# directory that two machines would not share.

# prepare_files NAME DIR ADDRESS WIRE ROOT. /run starts empty, as after a power cycle.
prepare_files() {
  local name=$1 dir=$2 root=$5
  rm -rf "$dir/run" "$dir/rootfs"
  mkdir -p "$dir"/{run,testbed,etc-openvswitch,cache-libvirt} \
    "$dir"/log/{libvirt/qemu,openvswitch} "$dir"/var-lib-openvswitch \
    "$dir"/var-lib-libvirt/{images,qemu,dnsmasq,boot,network} /var/lib/testbed
  mkdir -p "$dir"/run/{openvswitch,libvirt,sshd,lock,netns}
  # QEMU runs as its own user and must reach the disks.
  chmod 755 "$dir" "$dir/testbed"
  printf '%s\n' "$3" > "$dir/address"
  printf '%s\n' "$4" > "$dir/wire"
  [[ -z $root ]] || printf '%s\n' "$root" > "$dir/rootfs"
  prepare_libvirt "$name" "$dir" "$root"
  prepare_sshd "$dir" "$root"
}

# Not a copy of this machine's /etc/libvirt: its domains and networks stay here.
prepare_libvirt() {
  local name=$1 dir=$2 root=$3 etc=$2/etc-libvirt digest
  mkdir -p "$etc"/{qemu/networks,nwfilter,storage,secrets,hooks}
  cp -rn "$root"/etc/libvirt/nwfilter/. "$etc/nwfilter/" 2> /dev/null || true
  digest=$(printf '%s' "$name" | md5sum)
  printf '%s\n' 'auth_unix_ro = "none"' 'auth_unix_rw = "none"' 'max_clients = 200' \
    "host_uuid = \"${digest:0:8}-${digest:8:4}-4${digest:13:3}-a${digest:17:3}-${digest:20:12}\"" \
    > "$etc/libvirtd.conf"
  # Control groups and security labels belong to the machine, not to this host.
  printf '%s\n' 'cgroup_controllers = [ ]' 'security_driver = "none"' > "$etc/qemu.conf"
  # What this machine's libvirtd knows about QEMU saves the host seconds of probing.
  [[ -n $root ]] || cp -a /var/cache/libvirt/. "$dir/cache-libvirt/" 2> /dev/null || true
}

prepare_sshd() {
  local dir=$1 root=$2 pam=no
  [[ -f $dir/ssh_host_ed25519_key ]] ||
    ssh-keygen -q -t ed25519 -N '' -C "${dir##*/}" -f "$dir/ssh_host_ed25519_key"
  [[ -f $dir/authorized_keys ]] || (umask 077 && : > "$dir/authorized_keys")
  # Without PAM, sshd refuses an account whose password is locked with "!".
  if grep -q '^root:!' "$root/etc/shadow"; then pam=yes; fi
  # A host with a root of its own reads what is written below its /etc, as Debian does.
  : > "$dir/sshd_config"
  [[ -z $root ]] || printf '%s\n' 'Include /etc/ssh/sshd_config.d/*.conf' > "$dir/sshd_config"
  printf '%s\n' "HostKey $dir/ssh_host_ed25519_key" \
    "AuthorizedKeysFile $dir/authorized_keys" "ListenAddress $(cut -d/ -f1 "$dir/address")" \
    'PidFile /run/sshd.pid' 'PermitRootLogin prohibit-password' \
    'PasswordAuthentication no' 'KbdInteractiveAuthentication no' 'StrictModes no' \
    "UsePAM $pam" 'UseDNS no' 'MaxSessions 200' 'MaxStartups 200' 'LoginGraceTime 30' \
    'Subsystem sftp internal-sftp' >> "$dir/sshd_config"
}
