"""Faults a hand could make in the budget engine. Each is (name, file, text as it is, text as it would be); the text must
stand exactly once in the file, so that a mutant that has gone stale is noticed."""

DECIDE = "policy/engine_decide.c"
HOLD = "policy/engine_hold.c"
WINDOW = "policy/engine_window.c"
LADDER = "policy/engine_ladder.c"
CREDIT = "policy/engine_credit.c"
CHANGE = "policy/engine_change.c"
TABLE = "policy/engine_table.c"
ENGINE = "policy/engine.c"
INTERNAL = "policy/engine_internal.h"

MUTANTS = [
    # --- may it be taken? -------------------------------------------------------------------------------------------
    ("the limit itself is refused", DECIDE,
     "return place_used(p, p->need) > (uint64_t)b->block_limit", "return place_used(p, p->need) >= (uint64_t)b->block_limit"),
    ("one over the limit is easy", ENGINE,
     "least((uint64_t)entry->use_limit + 1,", "least((uint64_t)entry->use_limit + 2,"),
    ("a negative credit is easy", DECIDE, "return p->in->credit >= 0 && place_used", "return place_used"),
    ("credit is forgotten", DECIDE, "(uint64_t)b->block_limit + (uint64_t)p->in->credit;", "(uint64_t)b->block_limit;"),
    ("a need of zero is refused", DECIDE, "b->mode == MODE_SOFT || p->need == 0", "b->mode == MODE_SOFT"),
    ("a shadow budget blocks", INTERNAL,
     "p->refuses && p->meter->entry->mode == MODE_HARD", "p->refuses && p->meter->entry->mode != MODE_SOFT"),
    ("held where it does fit, though refused", DECIDE,
     "\tif (allowed)\n\t\tplace_take(e, p);", "\tif (!p->refuses)\n\t\tplace_take(e, p);"),
    ("the last counter is skipped", DECIDE,
     "\tfor (size_t i = 0; i < n; i++)\n\t\ttake_easily", "\tfor (size_t i = 0; i + (n > 1) < n; i++)\n\t\ttake_easily"),
    ("the lock is let go between deciding and taking", DECIDE,
     "\tengine_perturb(PERTURB_TAKE);\n\tfor (size_t i = 0; i < n; i++)\n\t\ttake_easily",
     "\tengine_unlock(e);\n\tengine_lock(e);\n\tfor (size_t i = 0; i < n; i++)\n\t\ttake_easily"),
    ("the same where a limit is near", DECIDE,
     "\tengine_perturb(PERTURB_TAKE);\n\tfor (size_t i = 0; i < n; i++) {",
     "\tengine_unlock(e);\n\tengine_lock(e);\n\tfor (size_t i = 0; i < n; i++) {"),
    ("a block step above 100 % lifts the limit", ENGINE,
     "entry->block_step != NO_STEP && b->steps[entry->block_step].at_ppm < PPM", "entry->block_step != NO_STEP"),
    ("the block step's share is rounded up", ENGINE,
     "b->steps[entry->block_step].at_ppm / PPM);", "b->steps[entry->block_step].at_ppm / PPM + 1);"),
    ("a hold counts against its own growing", DECIDE,
     "place_avail(p) + p->in->held - p->own >= p->need", "place_avail(p) + p->in->held >= p->need"),
    ("a preview takes", DECIDE, "take_easily(e, &places[i], how != DECIDE_PREVIEW, d)", "take_easily(e, &places[i], true, d)"),

    # --- the life of a hold -----------------------------------------------------------------------------------------
    ("the worst case is posted, not the bill", HOLD, "p->in->posted += p->need;", "p->in->posted += p->own;"),
    ("posted without the overrun", HOLD,
     "p->in->posted += p->need;", "p->in->posted += p->need < p->own ? p->need : p->own;"),
    ("settling forgets the last counter", HOLD,
     "for (size_t i = 0; i < h->n; i++)\n\t\tplace_settle", "for (size_t i = 0; i + (h->n > 1) < h->n; i++)\n\t\tplace_settle"),
    ("a hold can end twice", HOLD, "\thold_become(h, end);\n", "\t(void)end;\n"),
    ("a hold can be voided after it was sent and settled", HOLD,
     "return s == HOLD_RESERVED || s == HOLD_SENT;", "return s == HOLD_RESERVED || s == HOLD_SENT || s == HOLD_SETTLED;"),
    ("a voided hold is still held", HOLD,
     "\t\t\tplace_release(e, &p);\n", "\t\t\tp.in->open--;\n\t\t\te->held[p.meter->entry->unit] -= (uint64_t)p.own;\n"),
    ("what a hold grew by is never given back", HOLD, "\th->worst = worst;\n", "\t(void)worst;\n"),
    ("a shrunken hold stays as it was in its counters", HOLD, "\t\tp.in->held -= less;\n", "\t\tp.in->held -= 0;\n"),
    ("sent by looking, then changing", HOLD,
     "\treturn __atomic_compare_exchange_n(&h->state, &reserved, HOLD_SENT, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)\n"
     "\t\t   ? BUR_OK\n\t\t   : BUR_ALREADY;",
     "\tif (hold_state(h) != reserved)\n\t\treturn BUR_ALREADY;\n\tengine_perturb(PERTURB_SENT);\n"
     "\tengine_perturb(PERTURB_LOCKED);\n\thold_become(h, HOLD_SENT);\n\treturn BUR_OK;"),
    ("bills that are too large wrap", HOLD, "- (uint64_t)p->own > INT64_MAX)", "- (uint64_t)p->own > UINT64_MAX - 1)"),

    # --- windows ----------------------------------------------------------------------------------------------------
    ("windows never end", INTERNAL, "now_s < b->win_end && m->now.window == b->window", "m->now.window != 0"),
    ("settled in the window of now", HOLD, "m->ring || m->now.win_start == hm->win_start ?", "true ?"),
    ("a rolling bill is dated to its settling", HOLD,
     "engine_window_post(p->meter, p->in, win_start, p->need)", "engine_window_post(p->meter, p->in, p->in->win_start, p->need)"),
    ("a past window with a hold of zero is forgotten", INTERNAL,
     "in != &m->now && in->open == 0", "in != &m->now && in->held == 0"),
    ("a window with a hold of zero is thrown away at its end", WINDOW,
     "\tif (m->now.open == 0)\n", "\tif (m->now.held == 0)\n"),
    ("time goes back", WINDOW, "\treturn e->last_now_s;", "\treturn now_s;"),
    ("a rolling window is a bucket short", "policy/window_ring.h",
     "#define RING_SIZE (RING_BUCKETS + 1)", "#define RING_SIZE RING_BUCKETS"),
    ("buckets that left are still counted", "policy/window_ring.c", "\t\tr->posted -= oldest->posted;\n", ""),
    ("a jump of the clock is believed at once", "policy/clock_guard.c",
     "(wide)offset_ns - g->offset_ns <= JUMP_NS", "(wide)offset_ns - g->offset_ns <= INT64_MAX"),

    # --- what is told -----------------------------------------------------------------------------------------------
    ("an event twice", DECIDE, "(p->in->warned_mask & bit) != 0 || *to->n == EVENTS_MAX", "*to->n == EVENTS_MAX"),
    ("a step is reached only when it is passed", INTERNAL, "* PPM >= (wide)s->at_ppm", "* PPM > (wide)s->at_ppm"),
    ("a refused call counts for alerts", DECIDE,
     "engine_decide_alerts(p, allowed ? p->need : 0, &events)", "engine_decide_alerts(p, p->need, &events)"),
    ("a growing call counts twice in shadow", DECIDE, "\t\tif (!p->would_block)\n", "\t\tif (true)\n"),

    # --- the ladder -------------------------------------------------------------------------------------------------
    ("the lowest rung instead of the highest", LADDER, "\t\t\tfound = (int)i;", "\t\t\treturn (int)i;"),
    ("the last budget degrades, not the tightest", LADDER, "(by && !stricter(p, by))", "false"),
    ("clamped although one budget forbids it", LADDER,
     "\t\tif (step == NO_RUNG)\n\t\t\treturn;", "\t\tif (step == NO_RUNG)\n\t\t\tcontinue;"),
    ("the room of the last budget, not the tightest", LADDER, "place_blocks(p) && left < *room", "place_blocks(p)"),
    ("a degraded call counts as a refusal", DECIDE, "p->refuses && d->verdict != VERDICT_DEGRADE", "p->refuses"),
    ("a growing hold is told to take another model", DECIDE,
     "\tif (how == DECIDE_EXTEND)\n\t\treturn d->n_blocked == 0;\n", ""),

    # --- credits, corrections, start-up -----------------------------------------------------------------------------
    ("credit that is carried over is in both windows", CREDIT, "\told->credit -= carried;", "\told->credit -= 0;"),
    ("used credit vanishes when it ends", CREDIT, "(left > used ? left - used : 0)", "left"),
    ("the latest credit ends first", CREDIT, "(*at)->expires_s <= c->expires_s", "(*at)->expires_s > c->expires_s"),
    ("a failed restore is not undone", CHANGE,
     "\t\tCHECK(engine_window_post(m, in, win_start, -posted) == BUR_OK);", "\t\treturn r;"),
    ("a new limit leaves the block step where it was", ENGINE,
     "(int64_t)((wide)limit * b->steps[entry->block_step]", "(int64_t)((wide)b->limit * b->steps[entry->block_step]"),

    # --- finding counters -------------------------------------------------------------------------------------------
    ("two threads make the same counter", TABLE,
     "\tCHECK(pthread_mutex_lock(&e->create) == 0);\n\tr = engine_table_find(e, entry, scope, uid, ret);\n",
     "\tCHECK(pthread_mutex_lock(&e->create) == 0);\n"),
    ("counters in the order of the budgets", TABLE, "i > 0 && m->meter[i - 1] > meter", "false"),
    ("a counter of another scope", TABLE,
     "m->entry != entry || !slice_eq((struct slice){m->scope, m->scope_n}, scope)", "m->entry != entry"),

    # --- money ------------------------------------------------------------------------------------------------------
    ("a cost is rounded down", "base/amount.c",
     "(uint64_t)num / (uint64_t)den + ((uint64_t)num % (uint64_t)den != 0);", "(uint64_t)num / (uint64_t)den;"),
    ("a large cost is rounded down", "base/amount.c", "return quotient + (quotient * den != num);", "return quotient;"),
]
