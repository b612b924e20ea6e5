#!/bin/sh
# A cluster on this machine with the overlay dev in it: k8s/cluster.sh up, or down to remove it.
# `make cluster-up` and `make cluster-down` call this. Needs docker, kubectl, and kind or minikube.
set -eu
cd "$(dirname "$0")/.."
name=churnhouse
namespace=churnhouse-dev

for tool in kind minikube none; do
    if command -v "$tool" >/dev/null; then break; fi
done
if [ "$tool" = none ]; then
    echo "cluster: neither kind nor minikube is installed. Next: install one of them, and docker." >&2
    exit 1
fi
case "$tool" in
    kind) context=kind-$name ;;
    minikube) context=$name ;;
esac

if [ "${1:-}" = down ]; then
    case "$tool" in
        kind) kind delete cluster --name "$name" ;;
        minikube) minikube delete --profile "$name" ;;
    esac
    exit
elif [ "${1:-}" != up ]; then
    echo "cluster: '${1:-}' is neither up nor down. Next: k8s/cluster.sh up" >&2
    exit 1
fi

kube() {
    kubectl --context "$context" --namespace "$namespace" "$@"
}
secret() {
    head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'
}

case "$tool" in
    kind) kind get clusters | grep -qx "$name" || kind create cluster --name "$name" --wait 120s ;;
    minikube) minikube start --profile "$name" --driver docker ;;
esac
make images ENGINE=docker
for image in churnhouse-ml churnhouse-api; do
    docker tag "$image" "$image:dev"
    case "$tool" in
        kind) kind load docker-image "$image:dev" --name "$name" ;;
        minikube) minikube --profile "$name" image load "$image:dev" ;;
    esac
done

kube delete job churnhouse-seed-model --ignore-not-found
kube apply -k k8s/overlays/dev
if ! kube get secret churnhouse-api >/dev/null 2>&1; then
    key=ch_$(secret)
    hash=$(printf %s "$key" | sha256sum | cut -d ' ' -f 1)
    secret | kube create secret generic churnhouse-api --from-literal=keys="laptop:writer:$hash" \
        --from-file=session-secret=/dev/stdin
    echo "Key for the desk and the API, shown this once: $key"
fi
echo "The first version is being made: synthetic users, dbt, training. This takes some minutes."
kube wait --for=condition=complete job/churnhouse-seed-model --timeout=30m
kube rollout status deployment/churnhouse-api --timeout=5m
echo "Next: kubectl --context $context -n $namespace port-forward service/churnhouse-api 8000:80"
echo "      then open http://127.0.0.1:8000/desk"
