-- Standbys: how far a server has come, so that API processes can tell how old its answers are.

-- Where the server's log ends: what it has written, or on a standby what it has replayed, and the timeline that it
-- writes (a standby: NULL). A standby that has reached a position that the primary was at shows all that was committed
-- there by then, but for one that was promoted since: its timeline is another one.
-- STABLE. Writes nothing, locks nothing.
CREATE FUNCTION longhaul.wal_position(OUT timeline text, OUT lsn bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
           (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::bigint
$$;
COMMENT ON FUNCTION longhaul.wal_position() IS 'How far this server has come, and its timeline (NULL on a standby)';

REVOKE ALL ON FUNCTION longhaul.wal_position() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.wal_position() TO longhaul_api, longhaul_dba;
