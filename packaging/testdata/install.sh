#!/bin/bash
# install.sh DEB CLIENT-PORT PEER-PORT: installs the package on this machine, runs the unit's command as its
# user, and purges the package. It runs in a mount namespace of its own, where all that it
# writes goes to an overlay: the machine stays as it is.
set -euo pipefail
deb=$1 client=$2 peer=$3
over=$(mktemp -d)
mount -t tmpfs tmpfs "$over"
mkdir "$over"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$over/upper,workdir=$over/work" "$over/root"
mount --rbind /proc "$over/root/proc"
mount --rbind /dev "$over/root/dev"
cp "$deb" "$over/root/tmp/balsa.deb"
export over client peer
chroot "$over/root" bash -euo pipefail -s <<'INSIDE'
export DEBIAN_FRONTEND=noninteractive
dpkg -i /tmp/balsa.deb
getent passwd balsa
stat -c '%U:%G %a %n' /usr/bin/balsa /etc/balsa/balsa.yaml
dpkg-query -W -f='${Conffiles}\n' balsa

# What systemd does: StateDirectory, WorkingDirectory, the user, the command.
install -d -o balsa -g balsa -m 0700 /var/lib/balsa
start=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/balsa.service)
cd /var/lib/balsa
export BALSA_LISTEN_CLIENT_URLS=http://127.0.0.1:$client BALSA_LISTEN_PEER_URLS=http://127.0.0.1:$peer
export BALSA_ENDPOINTS=127.0.0.1:$client
setpriv --reuid balsa --regid balsa --clear-groups --inh-caps=-all --no-new-privs $start 2>/tmp/balsa.log &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
if ! balsa put greeting hello --timeout 30s; then
	cat /tmp/balsa.log
	exit 1
fi
balsa get greeting
stat -c '%U %n' /var/lib/balsa/default
kill $server
wait $server
trap - EXIT

# A changed configuration outlives an upgrade and a removal.
echo 'log-level: warn' >>/etc/balsa/balsa.yaml
dpkg -i /tmp/balsa.deb
dpkg -r balsa
grep -q 'log-level: warn' /etc/balsa/balsa.yaml
test ! -e /usr/bin/balsa
dpkg -P balsa
test ! -e /etc/balsa
test -d /var/lib/balsa/default # data stays
getent passwd balsa >/dev/null

dpkg -i /tmp/balsa.deb
BALSA_PURGE_DATA=yes dpkg -P balsa
test ! -e /var/lib/balsa
! getent passwd balsa
INSIDE
echo "installed, served and purged"
