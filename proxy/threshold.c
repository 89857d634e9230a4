#include "proxy/threshold.h"

#include "policy/budget_window.h"
#include "policy/engine_tell.h"

#define NEARLY_PPM 900000

_Static_assert(STEPS_MAX <= TELL_LIMIT && TELL_LIMIT < 32, "a bit for each step, and one for the limit");

static const struct {
	const char *kind, *word;
} steps[] = {
    [STEP_ALERT] = {"budget.threshold", "alert"},       [STEP_BLOCK] = {"budget.blocked", "block"},
    [STEP_THROTTLE] = {"budget.throttled", "throttle"}, [STEP_PACE] = {"budget.throttled", "pace"},
    [STEP_DEGRADE] = {"budget.degraded", "degrade"},    [STEP_CLAMP] = {"budget.threshold", "clamp"},
};

/* A call that is too large for what is left, long before the limit, is no emergency. */
static const char *severity_of(const struct engine_event *e)
{
	__int128 used = ((__int128)e->posted + e->held) * 1000000;

	return e->action == STEP_BLOCK && used < (__int128)e->limit * NEARLY_PPM ? "warning" : NULL;
}

void threshold_of(const struct engine_event *e, int64_t at_ns, struct threshold_event *ret)
{
	bool shadow = e->budget->mode == MODE_SHADOW;

	*ret =
	    (struct threshold_event){.kind = shadow ? steps[STEP_ALERT].kind : steps[e->action].kind,
				     .word = shadow && e->action == STEP_BLOCK ? "would_block" : steps[e->action].word,
				     .uid = e->uid,
				     .win_start = e->win_start,
				     .win_end = e->win_end,
				     .at_ppm = e->at_ppm,
				     .posted = e->posted,
				     .held = e->held,
				     .need = e->need,
				     .limit = e->limit,
				     .credit = e->credit,
				     .at_ns = at_ns,
				     .warned_mask = UINT32_C(1) << e->step, /* others' bits come with their events */
				     .action = e->action,
				     .mode = budget_mode_name(e->budget->mode),
				     .severity = severity_of(e),
				     .endless = budget_is_rolling(e->budget) || e->budget->window.kind == WINDOW_TOTAL};
	(void)slice_to_cstr(slice_of(e->budget->name), ret->budget, sizeof(ret->budget));
	(void)slice_to_cstr(slice_of(e->scope), ret->scope, sizeof(ret->scope));
}
