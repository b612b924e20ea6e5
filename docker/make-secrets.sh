#!/bin/sh
# Makes docker/secrets/, which docker-compose.yml mounts: API keys (a reader's, shown once, and an
# operator's for Prometheus) and Grafana's password. Needs only coreutils. To add a key:
#   docker compose exec api python -m api.keys NAME ROLE >> docker/secrets/api-keys
set -eu
folder=$(dirname "$0")/secrets
if [ -e "$folder" ]; then
    echo "$folder is there already. Next: use it, or remove it and run this again." >&2
    exit 1
fi

secret() {
    head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'
}
line() { # name, role, key
    echo "$1:$2:$(printf %s "$3" | sha256sum | cut -d ' ' -f 1)"
}

reader=ch_$(secret)
operator=ch_$(secret)
umask 022 # containers read the files as other users; the folder's mode keeps everybody else out
mkdir -m 700 "$folder"
{ line desk reader "$reader"; line prometheus operator "$operator"; } >"$folder/api-keys"
echo "$operator" >"$folder/operator-key"
secret >"$folder/grafana-password"
echo "Key for the desk and the API, shown this once: $reader"
