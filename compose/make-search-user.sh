#!/bin/sh
# Creates or updates the role and the user of the search service in Elasticsearch.
# Environment: ELASTICSEARCH_URL, ELASTIC_PASSWORD (of the superuser elastic, or ELASTIC_USERNAME), SEARCH_INDEX_PASSWORD,
# NEWSWIRE_NAMESPACE (newswire). Passwords are passed in files in /tmp, never on a command line.
set -eu
umask 077
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf 'user = "%s:%s"\n' "${ELASTIC_USERNAME:-elastic}" "$ELASTIC_PASSWORD" > "$folder/curl"

put() {  # path, body on stdin
  cat > "$folder/body"
  curl --noproxy '*' --silent --show-error --fail-with-body --retry 5 --retry-connrefused --max-time 60 --config "$folder/curl" \
    -X PUT -H 'Content-Type: application/json' --data-binary "@$folder/body" "$ELASTICSEARCH_URL/_security/$1"
  echo
}

# What `newswire elasticsearch-role` prints: no other index, and no other cluster privilege.
put role/newswire-search <<JSON
{"cluster": ["cluster:monitor/health"],
 "indices": [{"names": ["${NEWSWIRE_NAMESPACE:-newswire}-articles-*"],
              "privileges": ["read", "index", "create_index", "delete_index", "view_index_metadata", "indices:admin/refresh*",
                             "indices:admin/aliases", "indices:admin/settings/update", "indices:admin/block/add*"]}]}
JSON
put user/newswire-search <<JSON
{"password": "$SEARCH_INDEX_PASSWORD", "roles": ["newswire-search"], "full_name": "Newswire search"}
JSON
