# Boots systemd as PID 1 over this machine's own files; whatever it writes stays in memory and ends with it.
#   boot.sh FOLDER NAME [systemd-nspawn's options...]
# Run in a mount namespace of its own. Exit status 77: this machine does not allow what that needs.
set -eu
folder=$1 name=$2
shift 2
new=$folder/root
may() { "$@" || exit 77; }

may mount --make-rprivate /
may mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$new"
may mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$new"
# nothing that this machine enabled, remembers, or has of ours
rm -rf "$new/etc/systemd/system" "$new/var/log/journal" "$new/etc/machine-id" "$new/etc/ztop" "$new/opt/ztop" \
    "$new/var/lib/ztopd"
mkdir -p "$new/etc/systemd/system" "$new/opt"
od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$new/etc/machine-id"

# nspawn writes under /run; its control groups have to be those of version 2, and only those
may mount -t tmpfs -o mode=755 tmpfs /run
umount -R /sys/fs/cgroup 2>/dev/null || true
may mount -t cgroup2 cgroup2 /sys/fs/cgroup
may mkdir -p "/sys/fs/cgroup/$name"
echo $$ >"/sys/fs/cgroup/$name/cgroup.procs"
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --directory="$new" --boot --register=no --keep-unit --machine="$name" --console=pipe \
    --private-network --capability=CAP_PERFMON --system-call-filter=perf_event_open "$@" systemd.unit=multi-user.target
