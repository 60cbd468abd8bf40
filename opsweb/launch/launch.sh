#!/bin/sh
# All that has to happen before Python is there; the Makefile calls it with a command of `python3 -m opsweb.launch`.
set -eu
cd "$(dirname "$0")/../.."
if ! [ -x /usr/bin/python3 ]; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo"
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
fi
exec /usr/bin/python3 -B -m opsweb.launch "$@"
