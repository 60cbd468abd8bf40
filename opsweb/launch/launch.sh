#!/bin/sh
# All that has to happen before Python is there; the Makefile calls it with a command of `python3 -m opsweb.launch`.
set -eu
cd "$(dirname "$0")/../.."
if ! [ -x /usr/bin/python3 ]; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo"
    $as_root apt-get update
    $as_root apt-get install -y --no-install-recommends python3 python3-venv
fi
exec /usr/bin/python3 -B -m opsweb.launch "$@"
