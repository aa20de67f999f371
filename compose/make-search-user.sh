#!/bin/sh
# Makes the role and the user of the search service in Elasticsearch, or brings them to what is written here.
# Environment: ELASTICSEARCH_URL, ELASTIC_PASSWORD (superuser elastic; another name by ELASTIC_USERNAME), SEARCH_INDEX_PASSWORD,
# NEWSWIRE_NAMESPACE (newswire). Passwords go by files in /tmp, never by a command line.
set -eu
umask 077
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf 'user = "%s:%s"\n' "${ELASTIC_USERNAME:-elastic}" "$ELASTIC_PASSWORD" > "$folder/curl"

put() {  # path, body on stdin
  cat > "$folder/body"
  curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --max-time 60 --config "$folder/curl" \
    -X PUT -H 'Content-Type: application/json' --data-binary "@$folder/body" "$ELASTICSEARCH_URL/_security/$1"
  echo
}

# manage: a new index is made, given its alias and its settings, blocked while it is put in place, and dropped (`newswire reindex`).
# cluster:monitor/health: waits until the new index has its copies. Nothing else of the cluster, and no other index.
put role/newswire-search <<JSON
{"cluster": ["cluster:monitor/health"],
 "indices": [{"names": ["${NEWSWIRE_NAMESPACE:-newswire}-articles-*"], "privileges": ["read", "write", "manage"]}]}
JSON
put user/newswire-search <<JSON
{"password": "$SEARCH_INDEX_PASSWORD", "roles": ["newswire-search"], "full_name": "Newswire search"}
JSON
