-- How long jobs take, as workers report it.
BEGIN;
SELECT no_plan();
SELECT t.type('test') AS test, t.type('other') AS other \gset

SELECT longhaul.report_history(ARRAY[:test, :test, :other], '{5,21,21}', '{3,31,1}', '{7,1000,1100}', '{20,500,90}');
SELECT results_eq('SELECT * FROM longhaul.history()',
    format('VALUES (%1$s, 7::float8, 20::float8), (%1$s, 1000, 500), (%2$s, 1100, 90)', :test, :other),
    'a first report is the history');

-- 31 more jobs of 62 are half of it.
SELECT longhaul.report_history(ARRAY[:test], '{21}', '{31}', '{1200}', '{900}');
SELECT results_eq(format('SELECT jobs, input_size, ran_ms FROM longhaul.type_history WHERE type_id = %s AND bucket = 21', :test),
    'VALUES (62::bigint, 1100::float8, 700::float8)', 'a report moves it by its share of the jobs seen');
SELECT longhaul.report_history(ARRAY[:test], '{21}', '{1000000}', '{1200}', '{900}');
SELECT is((SELECT ran_ms FROM longhaul.type_history WHERE type_id = :test AND bucket = 21), 900::float8,
    'all the way if it is of many, and no further');
SELECT longhaul.report_history(ARRAY[:test], '{21}', '{1}', '{1200}', '{1900}');
SELECT is((SELECT ran_ms FROM longhaul.type_history WHERE type_id = :test AND bucket = 21), 1100::float8,
    'by a fifth at least, however long the history is');

SELECT longhaul.report_history(ARRAY[-1, :test, :test], '{1,2,3}', '{1,0,1}', '{1,2,3}', '{1,2,3}');
SELECT is((SELECT count(*) FROM longhaul.type_history), 4::bigint, 'types that are gone and reports of no job are passed over');
SELECT longhaul.report_history('{}', '{}', '{}', '{}', '{}');
SELECT is((SELECT count(*) FROM longhaul.type_history), 4::bigint, 'an empty report is fine');

SELECT is(longhaul.forget_history('test'), 3, 'a history can be forgotten');
SELECT is(longhaul.forget_history('nonesuch'), 0, 'one that never was too');
DELETE FROM longhaul.job_type WHERE type_id = :other;
SELECT is((SELECT count(*) FROM longhaul.type_history), 0::bigint, 'it goes with its type');

SELECT * FROM finish();
ROLLBACK;
