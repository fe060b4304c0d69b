#!/bin/sh
# Starts a server of the queue's database: as the primary, if PRIMARY is its own NAME,
# else as the standby of it. That matters the first time only: then the one makes the
# database, and the other copies it. Arguments are passed on to postgres.
set -eu

# The new database gets its name once it is whole, so that this can be interrupted.
new=$PGDATA.new

make() {
	initdb --pgdata="$new" --username=postgres --auth-local=trust --auth-host=scram-sha-256 --data-checksums
	cat >>"$new/pg_hba.conf" <<-'END'
		host instagram   gateway     samenet scram-sha-256
		host replication replication samenet scram-sha-256
	END
	pg_ctl --pgdata="$new" --wait --options="-c listen_addresses='' -k '$new'" start
	psql --host="$new" --username=postgres --set=ON_ERROR_STOP=1 --quiet <<-'END'
		\getenv gateway GATEWAY_PASSWORD
		\getenv replication REPLICATION_PASSWORD
		CREATE ROLE gateway LOGIN PASSWORD :'gateway' IN ROLE pg_monitor;
		CREATE ROLE replication LOGIN REPLICATION PASSWORD :'replication';
		CREATE DATABASE instagram OWNER gateway;
	END
	pg_ctl --pgdata="$new" --wait stop
}

# It does not give NAME as its application_name: the primary would count it as the
# synchronous standby while it copies, and events would be on one disk only.
copy() {
	export PGPASSWORD="$REPLICATION_PASSWORD"
	pg_basebackup --pgdata="$new" --write-recovery-conf --checkpoint=fast \
		--dbname="host=$PRIMARY user=replication"
}

if [ ! -d "$PGDATA" ]; then
	rm -rf "$new"
	if [ "$PRIMARY" = "$NAME" ]; then
		make
	else
		until copy; do
			rm -rf "$new"
			sleep 1
		done
	fi
	mv "$new" "$PGDATA"
fi

# The cluster_name is what a standby tells the primary as its name. Either server can be the
# primary, so both name both. A standby that was away gets what it missed from the last GB of
# the log; after more than that, remove its data.
exec postgres -c listen_addresses='*' \
	-c cluster_name="$NAME" \
	-c synchronous_standby_names='ANY 1 (db1, db2)' \
	-c wal_keep_size=1GB \
	"$@"
