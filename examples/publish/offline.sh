#!/bin/sh
# Takes this host's instances of an app out of answers and waits until no cache has them any more: then they can be
# stopped. What else is given goes to `rollcall offline`: --force for the last ones of an app, --reason TEXT.
#
#   offline.sh APP [OPTION…]
#
# ROLLCALL_HTTP and ROLLCALL_DNS say where the server is, as for rollcall itself; ROLLCALL_ZONE is the zone, svc unless set.
set -eu

[ $# -ge 1 ] || { echo "usage: offline.sh APP [OPTION of rollcall offline…]" >&2; exit 2; }
app=$1
shift
zone=${ROLLCALL_ZONE:-svc}

# How long caches keep an answer that has them, and the word that there is none: asked for while there still is one.
ttl=$(rollcall query "$app.$zone" | awk '$3 == "IN" && $2 > ttl { ttl = $2 } END { print ttl + 0 }')
negative=$(rollcall query "$zone" SOA | awk '$4 == "SOA" { print ($NF < $2 ? $NF : $2) }')

rollcall offline "$app" --here "$@"
sleep $((ttl + ${negative:-0}))
echo "$app on this host is in nobody's cache any more: it can be stopped"
