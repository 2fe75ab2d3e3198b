-- Pausing a job type and going on. The column job_type.paused is all that counts; what is here keeps its company.

-- Keeps paused_since, and paused_reason only while it is paused.
CREATE FUNCTION longhaul.job_type_paused() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    IF NOT new.paused THEN
        new.paused_since := NULL;
        new.paused_reason := NULL;
    ELSIF TG_OP = 'INSERT' OR NOT old.paused THEN
        new.paused_since := clock_timestamp();
    ELSE
        new.paused_since := old.paused_since;
    END IF;
    RETURN new;
END
$$;
COMMENT ON FUNCTION longhaul.job_type_paused() IS 'Trigger of job_type: keeps paused_since and paused_reason';
CREATE TRIGGER job_type_paused BEFORE INSERT OR UPDATE ON longhaul.job_type
    FOR EACH ROW EXECUTE FUNCTION longhaul.job_type_paused();

-- Stops the claims of a job type: what runs goes on, what is submitted waits. Workers are told when this commits.
-- Of one that is paused already it sets the reason. Returns whether it was not.
-- Writes: job_type.
CREATE FUNCTION longhaul.pause_type(p_type text, p_reason text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_was boolean;
BEGIN
    SELECT t.paused INTO v_was FROM longhaul.job_type t WHERE t.name = p_type FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no job type "%"', p_type USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE longhaul.job_type SET paused = true, paused_reason = p_reason WHERE name = p_type;
    RETURN NOT v_was;
END
$$;
COMMENT ON FUNCTION longhaul.pause_type(text, text) IS 'No job of this type is claimed any more: SELECT longhaul.pause_type(''accounts.bulk-import'', ''disk is full'')';

-- Lets the jobs of a type be claimed again, at once. Returns whether it was paused.
-- Writes: job_type.
CREATE FUNCTION longhaul.resume_type(p_type text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_was boolean;
BEGIN
    SELECT t.paused INTO v_was FROM longhaul.job_type t WHERE t.name = p_type FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no job type "%"', p_type USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF v_was THEN
        UPDATE longhaul.job_type SET paused = false WHERE name = p_type;
    END IF;
    RETURN v_was;
END
$$;
COMMENT ON FUNCTION longhaul.resume_type(text) IS 'Jobs of this type are claimed again';

REVOKE ALL ON FUNCTION longhaul.job_type_paused(), longhaul.pause_type(text, text), longhaul.resume_type(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.pause_type(text, text), longhaul.resume_type(text) TO longhaul_dba;
