#!/bin/sh
# Runs a Redis server that Sentinels watch. Environment: REDIS_ADDRESS (its own), REDIS_FIRST (the primary of the first start),
# REDIS_SENTINELS, REDISCLI_AUTH (the password of servers and Sentinels).
#
# Its role is in /data/redis.conf, which Sentinel makes Redis rewrite at a failover. A server that forgot it would come back as a
# primary, with what it had before, and the others would copy that.
set -eu
umask 077
file=/data/redis.conf
[ -e "$file" ] || { [ "$REDIS_ADDRESS" = "$REDIS_FIRST" ] || echo "replicaof $REDIS_FIRST 6379"; } > "$file"

# A former primary follows the new one from its start, instead of accepting writes until a Sentinel notices it.
for sentinel in $REDIS_SENTINELS; do
  primary=$(timeout 2 redis-cli -h "$sentinel" -p 26379 --raw sentinel get-master-addr-by-name newswire 2>/dev/null | head -1) || true
  case $primary in *.*.*.*) break ;; esac
  primary=
done
settled='requirepass|masterauth|user default'
[ -z "$primary" ] || settled="$settled|replicaof|slaveof"
{
  grep -vE "^($settled) " "$file" || true
  [ -z "$primary" ] || [ "$primary" = "$REDIS_ADDRESS" ] || echo "replicaof $primary 6379"
  printf 'requirepass %s\nmasterauth %s\n' "$REDISCLI_AUTH" "$REDISCLI_AUTH"
} > "$file.new"
mv "$file.new" "$file"

# When full, it rejects writes, and publishers get 503 with Retry-After; without maxmemory, the kernel would kill it. No snapshots in
# addition to the append-only file, and one entry per stream node: erased text would stay in both.
exec redis-server "$file" --appendonly yes --appendfsync always --save '' --stream-node-max-entries 1 --maxmemory 1536mb \
  --maxmemory-policy noeviction --protected-mode no --replica-announce-ip "$REDIS_ADDRESS" --repl-diskless-sync-delay 0
