#!/bin/sh
# Make what a microVM boots from: build.sh TARGET MODULES
# Into the folder TARGET come Debian 13's kernel (unpacked: QEMU without KVM is slow at unpacking) and initrd.cpio,
# which holds busybox, and the modules that MODULES lists, with the order to load each set in.
# CLOSET_MIRROR names another Debian mirror.
set -eu
target=$1
tree=$target/tree
mkdir -p "$target"
mmdebstrap --quiet --variant=extract --include=linux-image-amd64,busybox-static,kmod,liblzma5,zstd,xz-utils \
  trixie "$tree" "${CLOSET_MIRROR:-http://deb.debian.org/debian}"
for folder in bin lib lib64 sbin; do [ -e "$tree/$folder" ] || ln -s "usr/$folder" "$tree/$folder"; done

# Linux Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length; a zstd payload ends in 4 bytes of its own.
image=$(echo "$tree"/boot/vmlinuz-*)
field() { od -An "-t$3" -j "$1" -N "$2" "$image" | tr -d ' '; }
start=$((($(field 497 1 u1) + 1) * 512 + $(field 584 4 u4)))
dd if="$image" iflag=skip_bytes,count_bytes skip=$start count=$(($(field 588 4 u4) - 4)) bs=1M status=none |
  chroot "$tree" zstd -dcq >"$target/vmlinux"

version=${image##*/vmlinuz-}
chroot "$tree" depmod "$version"
initrd=$tree/initrd
mkdir -p "$initrd/bin" "$initrd/dev" "$initrd/proc" "$initrd/sys" "$initrd/modules"
cp "$tree/usr/bin/busybox" "$initrd/bin/busybox"
for applet in sh mount insmod mkdir cp mv switch_root poweroff; do ln -s busybox "$initrd/bin/$applet"; done
sed -n 's/^\([a-z]*\): */\1 /p' "$2" | while read -r set modules; do
  # Not in a pipe: there a module that does not exist would be no error.
  for module in $modules; do chroot "$tree" modprobe -S "$version" --show-depends "$module"; done >"$tree/depends"
  while read -r verb file _; do
    [ "$verb" = insmod ] || continue
    name=$(basename "$file" .ko.xz)
    chroot "$tree" xz -dc "$file" >"$initrd/modules/$name.ko"
    echo "$name"
  done <"$tree/depends" | awk '!seen[$0]++' >"$initrd/modules/$set"
done
(cd "$initrd" && find . | "$tree/usr/bin/busybox" cpio -o -H newc 2>/dev/null) >"$target/initrd.cpio"
rm -rf "$tree"
