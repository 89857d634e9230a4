/* A bill's lines add up to the cost, each at the rate that held, parts taken out of their wholes. */
#include "tests/unit/price_help.h"

static const char book_json[] =
    "{\"format\":\"bursar-prices/1\",\"version\":7,\"currency\":\"USD\",\"providers\":[{\"id\":\"acme\","
    "\"multipliers\":{\"flex\":\"0.5\"},\"models\":["
    "{\"id\":\"full\",\"match\":[[\"eq\",\"full\"]],\"prices\":[{\"rates\":{\"in\":\"10\",\"out\":\"20\",\"cr\":\"1\","
    "\"web\":"
    "\"10\"}},{\"from\":\"2026-01-01\",\"over\":1000,\"rates\":{\"in\":\"30\",\"out\":\"40\",\"cr\":\"3\"}}]}]}]}";

static void assert_adds_up(const struct price_model *m, const struct quantities *q, const struct price_terms *t)
{
	struct cost_sum whole, lines = {0};
	struct price_bill bill;

	assert_int_equal(price_cost(m, q, t, &whole), BUR_OK);
	assert_int_equal(price_bill(m, q, t, &bill), BUR_OK);
	for (size_t i = 0; i < bill.n; i++)
		assert_int_equal(cost_add(&lines, bill.lines[i].quantity, bill.lines[i].rate_pusd, bill.lines[i].per),
				 BUR_OK);
	assert_true(whole.num == bill.sum.num && whole.num == lines.num);
}

static const struct price_line *line_of(const struct price_bill *b, enum price_unit u)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->lines[i].unit == u)
			return &b->lines[i];
	fail_msg("no line of unit %d", (int)u);
	return NULL;
}

static void parts_are_taken_out_of_their_wholes(void **state)
{
	const struct quantities q = {{[PRICE_IN] = 1000, [PRICE_CR] = 400, [PRICE_OUT] = 50, [PRICE_WEB] = 2}};
	const struct price_terms t = {.at_s = 1000};
	struct price_book *b = book_of(book_json);
	const struct price_model *m = price_find(b, SLICE("acme"), SLICE("full"), NULL);
	struct price_bill bill;

	(void)state;
	assert_int_equal(price_bill(m, &q, &t, &bill), BUR_OK);
	assert_int_equal(bill.n, 4);
	assert_int_equal(line_of(&bill, PRICE_IN)->quantity, 600);
	assert_int_equal(line_of(&bill, PRICE_CR)->quantity, 400);
	assert_int_equal(line_of(&bill, PRICE_WEB)->per, 1000);
	assert_int_equal(line_of(&bill, PRICE_OUT)->rate_pusd, INT64_C(20000000000000));
	assert_adds_up(m, &q, &t);
	price_book_unref(b);
}

static void the_row_in_force_is_named(void **state)
{
	const struct quantities q = {{[PRICE_IN] = 5000, [PRICE_OUT] = 1}};
	struct price_terms t = {.at_s = 1780000000, .service = SERVICE_FLEX};
	struct price_book *b = book_of(book_json);
	const struct price_model *m = price_find(b, SLICE("acme"), SLICE("full"), NULL);
	struct price_bill bill;

	(void)state;
	assert_int_equal(price_bill(m, &q, &t, &bill), BUR_OK);
	assert_int_equal(line_of(&bill, PRICE_IN)->service, SERVICE_FLEX);
	assert_int_equal(line_of(&bill, PRICE_IN)->over, 1000);
	assert_int_equal(line_of(&bill, PRICE_IN)->from_s, 1767225600);
	assert_adds_up(m, &q, &t);
	t.service = SERVICE_STANDARD;
	assert_adds_up(m, &q, &t);
	t.at_s = 0; /* before that row: the short one */
	assert_int_equal(price_bill(m, &q, &t, &bill), BUR_OK);
	assert_int_equal(line_of(&bill, PRICE_IN)->over, 0);
	price_book_unref(b);
}

static void errors_are_those_of_the_cost(void **state)
{
	const struct quantities huge = {{[PRICE_CR_AUDIO] = UINT64_MAX, [PRICE_CR_TEXT] = 5}};
	const struct price_terms t = {.at_s = 0};
	struct price_book *b = book_of(book_json);
	const struct price_model *m = price_find(b, SLICE("acme"), SLICE("full"), NULL);
	struct price_bill bill;

	(void)state;
	assert_int_equal(price_bill(m, &huge, &t, &bill), BUR_OVERFLOW);
	price_book_unref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parts_are_taken_out_of_their_wholes),
	    cmocka_unit_test(the_row_in_force_is_named),
	    cmocka_unit_test(errors_are_those_of_the_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
