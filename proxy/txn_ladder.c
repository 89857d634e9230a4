/* txn_ladder.c - from the engine's decision to what is done about the call. */
#include "proxy/txn.h"

enum step_result txn_step_pace(struct txn *t)
{
	t->step = TXN_DIAL;
	return STEP_MORE;
}
