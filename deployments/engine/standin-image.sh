#!/usr/bin/env bash
# Builds an image that stands in for nvcr.io/nvidia/nemo where that one cannot be had.
#
#   standin-image.sh VENV [TAG [EXAMPLES]]
#
# EXAMPLES: examples/asr of your checkout of NVIDIA NeMo, for the stock script instead of ours.
#
# No registry is needed. It holds this machine's Python with the packages of VENV (NeMo among them),
# the libraries they link to, busybox for a shell, and at the stock script's path a script of ours
# with the stock script's keys. There is no CUDA in it. Needs docker and busybox-static.
set -euo pipefail

venv=${1:?the virtual environment that holds NeMo}
tag=${2:-asr-flywheel/nemo-standin}
project=$(cd "$(dirname "$0")/../.." && pwd)
theirs=${3:-}
examples=/opt/NeMo/examples/asr

read -r prefix version < <("$venv/bin/python" -c '
import sys
print(sys.base_prefix, "python%d.%d" % sys.version_info[:2])')
packages=$venv/lib/$version/site-packages
nemo=$("$venv/bin/python" -c 'from importlib import metadata; print(metadata.version("nemo_toolkit"))')

# Beside the packages, so that they can be linked.
root=$(mktemp -d "$venv/standin-image.XXXXXX" 2>/dev/null || mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
lib=usr/lib/x86_64-linux-gnu
mkdir -p "$root"/{usr/bin,usr/lib64,$lib,etc,proc,sys,dev,root,tmp,workspace} "$root$prefix/lib/$version"
chmod 1777 "$root/tmp"
for name in bin lib lib64; do ln -s "usr/$name" "$root/$name"; done

cp /bin/busybox "$root/usr/bin/"
for applet in $(/bin/busybox --list); do
  [ "$applet" = busybox ] || ln -s busybox "$root/usr/bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"

# What Python and its packages link to outside of themselves.
cp -L /lib64/ld-linux-x86-64.so.2 "$root/usr/lib64/"
find "$prefix/bin/$version" "$prefix/lib/$version/lib-dynload" "$packages" -type f \
  \( -name '*.so' -o -name '*.so.*' -o -name "$version" \) ! -name '*tkinter*' -print0 |
  xargs -0 -n 64 ldd 2>/dev/null | awk '$3 ~ /^\/(lib|usr\/lib)/ {print $3}' | sort -u |
  while read -r library; do cp -L "$library" "$root/$lib/"; done

tar -C "$prefix" -c --exclude="lib/$version/site-packages" --exclude="lib/$version/test" \
  --exclude="lib/$version/config-*" --exclude='*.a' --exclude=share --exclude=include . |
  tar -C "$root$prefix" -x
ln -s "$prefix/bin/$version" "$root/usr/bin/python3"
ln -s python3 "$root/usr/bin/python"

mkdir -p "$root$examples/conf/asr_finetune"
yaml=conf/asr_finetune/speech_to_text_finetune.yaml
if [ -n "$theirs" ]; then
  cp "$theirs/speech_to_text_finetune.py" "$root$examples/"
  cp "$theirs/$yaml" "$root$examples/$yaml"
else
  cp "$project/tasks/entrypoints/finetune_script.py" "$root$examples/speech_to_text_finetune.py"
  cp "$project/tasks/entrypoints/conf/sft.yaml" "$root$examples/$yaml"
fi

# Only what NeMo needs: the orchestrator's own packages would hide a dependency on them. Two
# gigabytes: linked, where the folders share a file system.
site="$root$prefix/lib/$version/site-packages"
cp -a --link "$packages/." "$site" 2>/dev/null || cp -a "$packages/." "$site"
rm -rf "$site"/__editable__* "$site"/{pip,prefect,mypy}

tar -C "$root" -c . | docker import --change 'ENV PATH=/usr/bin:/bin' --change 'WORKDIR /workspace' \
  --change 'ENV OMP_WAIT_POLICY=passive' \
  --change 'CMD ["python"]' --change "LABEL asr-flywheel.nemo=$nemo" \
  --message 'stand-in for nvcr.io/nvidia/nemo, without CUDA' - "$tag"
