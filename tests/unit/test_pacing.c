/*
 * test_pacing.c: when to poll again, and when a job will be done.
 * links: api/pacing.c
 */
#include "test.h"

#include "api/pacing.h"

#define NOW 1790938800000LL
#define FLOOR 1000
#define CEILING 60000

static const struct job_type type = { .poll_min_ms = FLOOR,
				      .poll_max_ms = CEILING,
				      .default_estimate_ms = -1 };
static const struct queue_view nothing_known = { .mean_ms = -1 };
/* Two hosts with four places each, busy, ten jobs a second, 0.8 s each. */
static const struct queue_view busy = {
	.known = true, .running = 8, .workers = 2, .slots = 8, .mean_ms = 800, .per_s = 10
};

static struct job_row running_row(int64_t since_ms, int64_t done, int64_t total)
{
	return (struct job_row){ .status = JOB_IN_PROGRESS,
				 .created_ms = NOW - since_ms,
				 .started_ms = NOW - since_ms,
				 .progress_ms = NOW,
				 .done = done,
				 .total = total };
}

static struct job_row queued_row(int64_t age_ms)
{
	return (struct job_row){
		.status = JOB_QUEUED, .created_ms = NOW - age_ms, .done = -1, .total = -1
	};
}

static struct pace pace_of(const struct job_row *row, const struct queue_view *queue)
{
	struct pace pace;

	pace_compute(row, &type, queue, NOW, 0, &pace);
	assert_true(pace.delay_ms >= FLOOR);
	assert_true(pace.delay_ms <= CEILING);
	assert_int_equal(pace.next_poll_ms, NOW + pace.delay_ms);
	assert_true(pace.estimate_ms == 0 || pace.estimate_ms > NOW);
	return pace;
}

static void by_progress(void **state)
{
	struct job_row row = running_row(10000, 25, 100);
	struct pace pace = pace_of(&row, &nothing_known);

	(void)state;
	assert_int_equal(pace.estimate_ms, NOW + 30000);
	assert_int_equal(pace.delay_ms, 30000 * 13 / 20);

	row = running_row(10000, 90, 100); /* 1.1 s left: one poll, just behind it */
	pace = pace_of(&row, &nothing_known);
	assert_in_range(pace.delay_ms, 1111, 1400);

	row = running_row(10000, 1, 1000000000); /* a very long way: no estimate beyond reason */
	pace = pace_of(&row, &nothing_known);
	assert_int_equal(pace.estimate_ms, 0);
	row = running_row(3600000, 1, 100);
	pace = pace_of(&row, &nothing_known);
	assert_int_equal(pace.delay_ms, CEILING);

	/* The last report is 40 s old: by its pace the job would be done, so it is overdue. */
	row = running_row(50000, 50, 60);
	row.progress_ms = NOW - 40000;
	pace = pace_of(&row, &nothing_known);
	assert_int_equal(pace.estimate_ms, 0);
	assert_int_equal(pace.delay_ms, 19000);
}

static void by_history(void **state)
{
	struct queue_view queue = busy;
	struct job_row row = running_row(4000, -1, -1);
	struct pace pace;

	(void)state;
	queue.mean_ms = 20000;
	pace = pace_of(&row, &queue);
	assert_int_equal(pace.estimate_ms, NOW + 16000);
	assert_int_equal(pace.delay_ms, 16000 * 13 / 20);
	/* What others with as much input took counts more than what the last ones took. */
	queue.usual_ms = 10000;
	pace = pace_of(&row, &queue);
	assert_int_equal(pace.estimate_ms, NOW + 6000);
	/* Overdue: soon again, and less often the later it is. */
	row = running_row(60000, -1, -1);
	queue.usual_ms = 59000;
	assert_int_equal(pace_of(&row, &queue).delay_ms, 3000);
	queue.usual_ms = 40000;
	assert_int_equal(pace_of(&row, &queue).delay_ms, 10000);

	/* Nothing known at all: the interval grows with the job's age. */
	row = running_row(4000, -1, -1);
	assert_int_equal(pace_of(&row, &nothing_known).delay_ms, FLOOR);
	row = running_row(100000, -1, -1);
	assert_int_equal(pace_of(&row, &nothing_known).delay_ms, 25000);
	assert_int_equal(pace_of(&row, &nothing_known).estimate_ms, 0);
	row = running_row(10000000, -1, -1);
	assert_int_equal(pace_of(&row, &nothing_known).delay_ms, CEILING);
}

/* The further it has come, the more progress counts against what others took. */
static void by_both(void **state)
{
	struct queue_view queue = { .mean_ms = -1, .usual_ms = 20000 };
	struct job_row row = running_row(1000, 1, 10000);

	(void)state;
	assert_in_range(pace_of(&row, &queue).estimate_ms, NOW + 19000, NOW + 30000);
	row = running_row(10000, 25, 100); /* 40 s by its progress */
	assert_in_range(pace_of(&row, &queue).estimate_ms, NOW + 23000, NOW + 26000);
	row = running_row(36000, 90, 100);
	assert_in_range(pace_of(&row, &queue).estimate_ms, NOW + 1500, NOW + 4000);
}

static void place_in_queue(void **state)
{
	struct queue_view queue = busy;
	struct job_row row = queued_row(5000);

	(void)state;
	queue.depth = 101;
	queue.as_of_ms = NOW;
	queue.head_age_ms = 10000;
	assert_int_equal(pace_of(&row, &queue).position, 51);
	row = queued_row(10000);
	assert_int_equal(pace_of(&row, &queue).position, 1);
	queue.depth = QUEUE_DEPTH_MAX; /* not counted any further */
	assert_int_equal(pace_of(&row, &queue).position, 0);
	queue.depth = 3;
	row.run_at_ms = NOW + 1000; /* it waits for its time */
	assert_int_equal(pace_of(&row, &queue).position, 0);
	assert_int_equal(pace_of(&row, &nothing_known).position, 0);
	row = running_row(1000, -1, -1);
	assert_int_equal(pace_of(&row, &queue).position, 0);
}

static void by_queue(void **state)
{
	struct queue_view queue = busy;
	struct job_row row = queued_row(0);
	struct pace pace;

	(void)state;
	queue.depth = 99;
	queue.head_age_ms = 10000;
	pace = pace_of(&row, &queue); /* 100 jobs at ten a second, and its own time */
	assert_int_equal(pace.estimate_ms, NOW + 10800);
	row = queued_row(5000); /* half of them came after it */
	pace = pace_of(&row, &queue);
	assert_int_equal(pace.estimate_ms, NOW + 5050 + 800);
	row = queued_row(20000); /* nobody is ahead */
	pace = pace_of(&row, &queue);
	assert_int_equal(pace.estimate_ms, NOW + 100 + 800);

	queue.workers = 0; /* nobody works: no estimate */
	row = queued_row(8000);
	pace = pace_of(&row, &queue);
	assert_int_equal(pace.estimate_ms, 0);
	assert_int_equal(pace.delay_ms, 2000);

	queue = busy; /* free places: it begins at once */
	queue.running = 3;
	row = queued_row(0);
	assert_int_equal(pace_of(&row, &queue).estimate_ms, NOW + 800);
}

static void run_at(void **state)
{
	struct queue_view queue = busy;
	struct job_row row = queued_row(1000);
	struct pace pace;

	(void)state;
	row.run_at_ms = NOW + 3600000;
	pace = pace_of(&row, &queue);
	assert_int_equal(pace.estimate_ms, NOW + 3600800);
	assert_int_equal(pace.delay_ms, CEILING);
	row.run_at_ms = NOW + 2000;
	pace = pace_of(&row, &queue);
	assert_in_range(pace.delay_ms, 2800, 3000);

	/* How long it will take isn't known, but before its time there is nothing to see. */
	row.run_at_ms = NOW + 3600000;
	pace = pace_of(&row, &nothing_known);
	assert_int_equal(pace.estimate_ms, 0);
	assert_int_equal(pace.delay_ms, CEILING);
	row.run_at_ms = NOW + 20000;
	assert_int_equal(pace_of(&row, &nothing_known).delay_ms, 20020);
	row.run_at_ms = NOW + 2000;
	assert_in_range(pace_of(&row, &nothing_known).delay_ms, 2000, 2200);
}

/* Four jobs came at once, long ago: what tells them apart is their order, not their age. */
static void by_order(void **state)
{
	struct queue_view queue = { .known = true,
				    .depth = 3,
				    .running = 1,
				    .workers = 1,
				    .slots = 1,
				    .mean_ms = 60000,
				    .head_age_ms = 30010,
				    .as_of_ms = NOW,
				    .head_seq = 102,
				    .last_seq = 104 };
	struct job_row row = queued_row(30000);

	(void)state;
	row.seq = 104;
	assert_int_equal(pace_of(&row, &queue).estimate_ms, NOW + 3 * 60000 + 60000);
	row.seq = 103;
	assert_int_equal(pace_of(&row, &queue).estimate_ms, NOW + 2 * 60000 + 60000);
	row.seq = 102;
	assert_int_equal(pace_of(&row, &queue).estimate_ms, NOW + 60000 + 60000);
	row.seq = 50; /* it has just come, and is next */
	assert_int_equal(pace_of(&row, &queue).estimate_ms, NOW + 60000 + 60000);
}

static void places(void **state)
{
	struct queue_view queue = {
		.known = true, .depth = 100, .head_seq = 1000, .last_seq = 2000
	};

	(void)state;
	assert_true(pace_ahead(&nothing_known, 100, 5) < 0);
	assert_true(pace_ahead(&queue, 100, 0) < 0);
	assert_int_equal(pace_ahead(&queue, 100, 900), 0);
	assert_int_equal(pace_ahead(&queue, 100, 1500), 50);
	assert_int_equal(pace_ahead(&queue, 100, 9000), 100); /* that is all there are */
	queue.depth = QUEUE_DEPTH_MAX;                        /* or more */
	assert_int_equal(pace_ahead(&queue, 10000, 4000), 30000);
	queue.last_seq = 1000;
	assert_int_equal(pace_ahead(&queue, 1, 1001), 1);
}

/* No history: what the type's row says is taken. */
static void by_default(void **state)
{
	struct queue_view queue = {
		.known = true, .depth = 1, .workers = 1, .slots = 2, .running = 2, .mean_ms = -1
	};
	struct job_type slow = type;
	struct job_row row = queued_row(0);
	struct pace pace;

	(void)state;
	slow.default_estimate_ms = 10000;
	pace_compute(&row, &slow, &queue, NOW, 0, &pace);
	assert_int_equal(pace.estimate_ms, NOW + 2 * 10000 / 2 + 10000);
}

static void waits(void **state)
{
	struct queue_view queue = busy;

	(void)state;
	assert_int_equal(pace_wait_ms(&nothing_known, 0, 800), -1);
	assert_int_equal(pace_wait_ms(&queue, 0, 800), 100);
	assert_int_equal(pace_wait_ms(&queue, 0, -1), 100);
	queue.per_s = 0.1; /* lately there was little to do */
	assert_int_equal(pace_wait_ms(&queue, 9, 800), 1000);
	queue.per_s = 0;
	assert_int_equal(pace_wait_ms(&queue, 9, 800), 1000);
	assert_int_equal(pace_wait_ms(&queue, 9, -1), -1);
	assert_int_equal(pace_wait_ms(&queue, 79999, 0), 1000);
	queue.slots = 0;
	assert_int_equal(pace_wait_ms(&queue, 0, 800), -1);
}

static void jitter_only_lengthens(void **state)
{
	struct job_row row = queued_row(0);
	struct pace pace;

	(void)state;
	for (uint32_t jitter = 0; jitter <= 2000; jitter += 100) {
		pace_compute(&row, &type, &nothing_known, NOW, jitter, &pace);
		assert_in_range(pace.delay_ms, FLOOR, FLOOR + FLOOR / 10);
	}
}

static void whole_seconds(void **state)
{
	struct pace pace = { .delay_ms = 1 };

	(void)state;
	assert_int_equal(pace_retry_after(&pace), 1);
	pace.delay_ms = 1000;
	assert_int_equal(pace_retry_after(&pace), 1);
	pace.delay_ms = 1001;
	assert_int_equal(pace_retry_after(&pace), 2);
	pace.delay_ms = 60000;
	assert_int_equal(pace_retry_after(&pace), 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_progress),    cmocka_unit_test(by_history),
		cmocka_unit_test(by_queue),       cmocka_unit_test(run_at),
		cmocka_unit_test(waits),          cmocka_unit_test(by_order),
		cmocka_unit_test(by_default),     cmocka_unit_test(jitter_only_lengthens),
		cmocka_unit_test(whole_seconds),  cmocka_unit_test(by_both),
		cmocka_unit_test(place_in_queue), cmocka_unit_test(places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
