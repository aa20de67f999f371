#!/bin/sh
# Runs a Sentinel. Environment: REDIS_ADDRESS (its own), REDIS_FIRST (the primary of the first start), REDISCLI_AUTH (the password of
# servers and Sentinels).
# What it learns of servers and failovers is in /data/sentinel.conf, which it rewrites itself.
set -eu
umask 077
file=/data/sentinel.conf
[ -e "$file" ] || cat > "$file" <<CONFIGURATION
port 26379
dir /data
protected-mode no
sentinel announce-ip $REDIS_ADDRESS
sentinel monitor newswire $REDIS_FIRST 6379 2
sentinel down-after-milliseconds newswire 3000
sentinel failover-timeout newswire 20000
CONFIGURATION
{
  grep -vE '^(requirepass|user default|sentinel auth-pass|sentinel sentinel-pass) ' "$file"
  printf 'requirepass %s\nsentinel auth-pass newswire %s\nsentinel sentinel-pass %s\n' "$REDISCLI_AUTH" "$REDISCLI_AUTH" "$REDISCLI_AUTH"
} > "$file.new"
mv "$file.new" "$file"
exec redis-server "$file" --sentinel
