#!/bin/sh
# Score a photo with the FaceStats gateway (`fsclient gateway`), from a shell.
#
#   ./score.sh photo.jpg [http://localhost:8080]
#
# Prints the photo and its faces as JSON; labels are applied, there is no placeholder. The routes: docs/reference/gateway.md.
# FACESTATS_TOKEN holds the gateway's token where it asks for one.
set -eu

photo=$1
gateway=${2:-http://localhost:8080}

if [ -n "${FACESTATS_TOKEN:-}" ]; then
    # From stdin: the list of processes shows no token.
    printf 'header = "Authorization: Bearer %s"\n' "$FACESTATS_TOKEN" |
        curl --fail-with-body --silent --show-error --retry 5 --max-time 60 --config - --data-binary "@$photo" "$gateway/v1/score"
else
    curl --fail-with-body --silent --show-error --retry 5 --max-time 60 --data-binary "@$photo" "$gateway/v1/score"
fi
