/* A step of a budget on its way to the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/engine_tell.h"
#include "proxy/threshold.h"

static struct threshold_event row_of(enum budget_mode mode, enum step_action action, uint8_t step)
{
	const struct budget budget = {.name = "team", .mode = mode, .window = {.kind = WINDOW_DAY}};
	const struct engine_event e = {.action = action,
				       .at_ppm = 800000,
				       .posted = 95,
				       .limit = 100,
				       .step = step,
				       .warned_mask = 0x80000007,
				       .budget = &budget,
				       .scope = "user=ann"};
	struct threshold_event row;

	threshold_of(&e, 1, &row);
	return row;
}

/* Another worker's step may be in the counter's mask before its event is in any queue: a program that is killed then
 * must not have it on disk. */
static void only_its_own_bit_is_written(void **state)
{
	(void)state;
	assert_int_equal(row_of(MODE_HARD, STEP_ALERT, 1).warned_mask, 2);
	assert_int_equal(row_of(MODE_HARD, STEP_BLOCK, TELL_LIMIT).warned_mask, 0x80000000);
}

static void shadow_budgets_refuse_nothing(void **state)
{
	struct threshold_event row = row_of(MODE_SHADOW, STEP_BLOCK, 2);

	(void)state;
	assert_string_equal(row.kind, "budget.threshold");
	assert_string_equal(row.word, "would_block");
	assert_string_equal(row_of(MODE_HARD, STEP_BLOCK, 2).kind, "budget.blocked");
	assert_string_equal(row.scope, "user=ann");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_its_own_bit_is_written),
	    cmocka_unit_test(shadow_budgets_refuse_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
