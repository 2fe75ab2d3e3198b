-- Functions for the handler sql: the examples of the documentation, and one that does what its input says.
CREATE SCHEMA app;
CREATE TABLE app.done (job uuid, what text);

-- The example: prices go up, with progress, and with an error that is the client's.
CREATE TABLE app.price (item text PRIMARY KEY, cents integer NOT NULL);
INSERT INTO app.price SELECT 'item ' || i, 100 FROM generate_series(1, 1000) i;
CREATE FUNCTION app.raise_prices(job uuid, input jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, longhaul, pg_temp AS $$
DECLARE
    total bigint := (SELECT count(*) FROM price);
    done  bigint := 0;
    r     record;
BEGIN
    IF NOT coalesce((input->>'percent')::numeric BETWEEN 0 AND 50, false) THEN
        RAISE EXCEPTION USING ERRCODE = 'LH422', MESSAGE = 'The percentage can''t be used',
            DETAIL = 'percent must be from 0 to 50.', HINT = 'invalid-percentage';
    END IF;
    FOR r IN SELECT item FROM price ORDER BY item FOR UPDATE LOOP
        UPDATE price SET cents = cents * (1 + (input->>'percent')::numeric / 100) WHERE price.item = r.item;
        done := done + 1;
        PERFORM report_progress(done, total, r.item);
    END LOOP;
    RETURN jsonb_build_object('raised', done);
END
$$;

CREATE FUNCTION app.act(job uuid, input jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, pg_temp AS $$
DECLARE
    p jsonb;
BEGIN
    INSERT INTO done VALUES (job, input->>'note');
    FOR p IN SELECT * FROM jsonb_array_elements(coalesce(input->'progress', '[]')) LOOP
        PERFORM longhaul.report_progress((p->>0)::bigint, (p->>1)::bigint, p->>2);
    END LOOP;
    -- Until somebody has made a row with this note, from outside.
    WHILE input ? 'wait' AND NOT EXISTS (SELECT FROM done WHERE what = input->>'wait') LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
    IF input ? 'code' AND (NOT input ? 'until' OR NOT EXISTS (SELECT FROM done WHERE what = input->>'until')) THEN
        RAISE EXCEPTION USING ERRCODE = input->>'code', MESSAGE = coalesce(input->>'message', 'secret of app.act'),
            DETAIL = coalesce(input->>'detail', ''), HINT = coalesce(input->>'hint', '');
    END IF;
    RETURN CASE WHEN input ? 'repeat' THEN to_jsonb(repeat('x', (input->>'repeat')::integer)) ELSE input->'return' END;
END
$$;

CREATE FUNCTION app.upper(job uuid, input text) RETURNS text LANGUAGE sql AS 'SELECT upper(input)';
CREATE FUNCTION app.same(job uuid, input bytea) RETURNS bytea LANGUAGE sql AS 'SELECT input';
CREATE FUNCTION app.nothing(job uuid, input json) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION app.number(job uuid, input json) RETURNS integer LANGUAGE sql AS 'SELECT 1';
GRANT USAGE ON SCHEMA app TO importer;
-- The owner of a function calls report_progress: here that is a superuser.
