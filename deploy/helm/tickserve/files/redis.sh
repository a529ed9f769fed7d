#!/bin/sh
# Starts a Redis, or the Sentinel beside it, or says whether the Redis should live on, or whether either is ready:
# redis.sh redis|sentinel|alive|ready|watching.
#   HOSTS           the hosts of all of them, in the order of their pods
#   HOSTNAME        ends in -<place in HOSTS>
#   REDISCLI_AUTH   the password, of Redis and Sentinel alike
#   DATA, CONF      folders: what is kept, and what is made anew at each start
#   MAX_MEMORY, MIN_REPLICAS, DOWN_AFTER
#   ORPHAN_AFTER    seconds without its master after which a replica is to start again (60)
set -eu
umask 077

MASTER_NAME=tickserve
place=${HOSTNAME##*-}
# shellcheck disable=SC2086
set -- "$1" $HOSTS
kind=$1
shift
first=$1
count=$#
eval "me=\${$((place + 1))}"

# The password as Redis' configuration files have it.
quoted() {
    printf '"%s"' "$(printf '%s' "$REDISCLI_AUTH" | sed 's/[\\"]/\\&/g')"
}

# Whom a living Sentinel takes for the master; else whom the one here took for it before it ended; else the first.
# The last counts only at the very first start: an older Redis must not become the master of a newer one.
master() {
    for host in $HOSTS; do
        [ "$host" != "$me" ] || continue
        found=$(timeout 2 redis-cli -h "$host" -p 26379 SENTINEL get-master-addr-by-name $MASTER_NAME 2>/dev/null | head -n 1)
        case $found in '' | *' '*) ;; *) echo "$found"; return ;; esac
    done
    found=$(sed -n "s/^sentinel monitor $MASTER_NAME \"\{0,1\}\([^ \"]*\).*/\1/p" "$DATA/sentinel.conf" 2>/dev/null | head -n 1)
    echo "${found:-$first}"
}

start_redis() {
    {
        echo "port 6379"
        echo "dir $DATA"
        echo "appendonly yes"
        echo "maxmemory $MAX_MEMORY"
        # A full Redis refuses new windows; it forgets none.
        echo "maxmemory-policy noeviction"
        printf 'requirepass %s\n' "$(quoted)"
        if [ "$count" -gt 1 ]; then
            printf 'masterauth %s\n' "$(quoted)"
            echo "replica-announce-ip $me"
            echo "min-replicas-to-write $MIN_REPLICAS"
            echo "min-replicas-max-lag 10"
            leader=$(master)
            [ "$leader" = "$me" ] || echo "replicaof $leader 6379"
        fi
    } >"$CONF/redis.conf"
    exec redis-server "$CONF/redis.conf" ${BIND:+--bind "$BIND"}
}

# Keeps its file, in which it writes what it learns: who is the master above all.
start_sentinel() {
    file=$DATA/sentinel.conf
    if ! [ -s "$file" ]; then
        {
            echo "port 26379"
            echo "dir /tmp"
            echo "sentinel resolve-hostnames yes"
            echo "sentinel announce-hostnames yes"
            echo "sentinel announce-ip $me"
            echo "sentinel monitor $MASTER_NAME $(master) 6379 $((count / 2 + 1))"
            echo "sentinel down-after-milliseconds $MASTER_NAME $DOWN_AFTER"
            echo "sentinel failover-timeout $MASTER_NAME 60000"
            echo "sentinel parallel-syncs $MASTER_NAME 1"
        } >"$file.new"
        mv "$file.new" "$file"
    fi
    # The password is the one of this start; the Sentinel writes it down in more ways than it was told.
    sed -i '/^requirepass /d; /^user default /d; /^sentinel sentinel-pass /d; /^sentinel auth-pass /d' "$file"
    {
        printf 'requirepass %s\n' "$(quoted)"
        printf 'sentinel sentinel-pass %s\n' "$(quoted)"
        printf 'sentinel auth-pass %s %s\n' "$MASTER_NAME" "$(quoted)"
    } >>"$file"
    exec redis-server "$file" --sentinel ${BIND:+--bind "$BIND"}
}

# A replica that joined while the master was being lost is known to no Sentinel, and waits for the old one for ever:
# started again, it asks who the master is.
start_alive() {
    said=$(redis-cli -h "${BIND:-127.0.0.1}" INFO replication) || exit 1
    away=$(echo "$said" | tr -d '\r' | sed -n 's/^master_link_down_since_seconds://p')
    [ "${away:-0}" -lt "${ORPHAN_AFTER:-60}" ]
}

# redis-cli succeeds with an answer that is an error as well: only what a Redis that may be used says will do. A replica
# that has not what its master has is not ready, or a rolling restart would go on to the next.
start_ready() {
    said=$(redis-cli -h "${BIND:-127.0.0.1}" INFO | tr -d '\r') || exit 1
    echo "$said" | grep -qx 'loading:0' || exit 1
    echo "$said" | grep -qx 'role:master' || echo "$said" | grep -qx 'master_link_status:up'
}

start_watching() {
    [ "$(redis-cli -h "${BIND:-127.0.0.1}" -p 26379 PING)" = PONG ]
}

"start_$kind"
