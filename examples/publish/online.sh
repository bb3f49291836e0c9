#!/bin/sh
# Brings this host's instances of an app back into answers, once they are up again.
#
#   online.sh APP
#
# ROLLCALL_HTTP and ROLLCALL_DNS say where the server is, as for rollcall itself.
set -eu

[ $# -eq 1 ] || { echo "usage: online.sh APP" >&2; exit 2; }
rollcall online "$1" --here
