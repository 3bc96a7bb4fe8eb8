#!/bin/sh
# Build the images with docker, podman or buildah, whichever is there: build.sh [-- OPTIONS OF THE BUILD]
#   ENGINE    the program (default: the first that works), IMAGE the name (haldane), TAG (this checkout's version),
#   TARGETS   which of `controller envoy demo` (all), BASE the base image (python:3.13-slim)
set -eu
cd "$(dirname "$0")/../.."
[ "${1-}" != -- ] || shift

works() {
    case "$1" in
    buildah) buildah --version ;;
    *) "$1" info ;; # docker and podman need a service, or user namespaces
    esac >/dev/null 2>&1
}

engine=${ENGINE-}
if [ -z "$engine" ]; then
    for each in docker podman buildah; do
        if works "$each"; then engine=$each && break; fi
    done
fi
if [ -z "$engine" ]; then
    echo "An image needs docker (with its daemon running), podman or buildah, and none of them works here." >&2
    echo "On Debian: apt-get install buildah. Without root: BUILDAH_ISOLATION=chroot make image" >&2
    exit 1
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
tag=${TAG:-$version}
ignore=deploy/image/Containerfile.dockerignore
for target in ${TARGETS:-controller envoy demo}; do
    name=${IMAGE:-haldane}
    [ "$target" = controller ] || name=$name-$target
    case "$engine" in
    docker) build="docker build" ;;
    podman) build="podman build --format docker --ignorefile $ignore" ;;
    buildah) build="buildah build --format docker --ignorefile $ignore" ;;
    *) echo "ENGINE is docker, podman or buildah, not $engine" >&2 && exit 2 ;;
    esac
    # shellcheck disable=SC2086  # the words of $build
    $build --file deploy/image/Containerfile --target "$target" --tag "$name:$tag" ${BASE:+--build-arg "BASE=$BASE"} \
        --label "org.opencontainers.image.version=$version" --label "org.opencontainers.image.revision=$revision" \
        "$@" .
    echo "built $name:$tag"
done
