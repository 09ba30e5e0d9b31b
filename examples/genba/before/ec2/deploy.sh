#!/usr/bin/env bash
# What CI runs today: the new binary onto each instance, one after the other, and a restart.
# Between `stop` and the moment the new process listens, the load balancer still sends requests here.
set -euo pipefail
for host in genba-1.internal genba-2.internal; do
  scp genba.pyz "deploy@${host}:/tmp/genba.pyz.new"
  ssh "deploy@${host}" 'sudo systemctl stop genba &&
    sudo install -o genba -m 0755 /tmp/genba.pyz.new /opt/genba/genba.pyz &&
    sudo systemctl start genba'
done
