/* views.h - the handlers that the route table names. Each fills status and body of its call. */
#ifndef API_VIEWS_H
#define API_VIEWS_H

#include "api/api.h"

void view_live(struct api *, struct api_call *) NONNULL(1, 2);
void view_ready(struct api *, struct api_call *) NONNULL(1, 2);
void view_metrics(struct api *, struct api_call *) NONNULL(1, 2);
void view_index(struct api *, struct api_call *) NONNULL(1, 2);
void view_docs(struct api *, struct api_call *) NONNULL(1, 2);
void view_ca_pem(struct api *, struct api_call *) NONNULL(1, 2);
void view_budgets(struct api *, struct api_call *) NONNULL(1, 2);
void view_budget_limit(struct api *, struct api_call *) NONNULL(1, 2);
void view_budget_credit(struct api *, struct api_call *) NONNULL(1, 2);
void view_budget_charge(struct api *, struct api_call *) NONNULL(1, 2);
void view_ledger_refund(struct api *, struct api_call *) NONNULL(1, 2);
void view_ledger_adjust(struct api *, struct api_call *) NONNULL(1, 2);
void view_audit(struct api *, struct api_call *) NONNULL(1, 2);
void view_explain(struct api *, struct api_call *) NONNULL(1, 2);
void view_ledger(struct api *, struct api_call *) NONNULL(1, 2);
void view_keys(struct api *, struct api_call *) NONNULL(1, 2);
void view_key_create(struct api *, struct api_call *) NONNULL(1, 2);
void view_stops(struct api *, struct api_call *) NONNULL(1, 2);
void view_stop(struct api *, struct api_call *) NONNULL(1, 2);
void view_resume(struct api *, struct api_call *) NONNULL(1, 2);
void view_breakers(struct api *, struct api_call *) NONNULL(1, 2);
void view_breaker_open(struct api *, struct api_call *) NONNULL(1, 2);
void view_breaker_close(struct api *, struct api_call *) NONNULL(1, 2);
void view_breaker_half_open(struct api *, struct api_call *) NONNULL(1, 2);
void view_prices_reload(struct api *, struct api_call *) NONNULL(1, 2);
void view_prices_reprice(struct api *, struct api_call *) NONNULL(1, 2);
void view_key_revoke(struct api *, struct api_call *) NONNULL(1, 2);
void view_budget_status(struct api *, struct api_call *) NONNULL(1, 2);
void view_budget_check(struct api *, struct api_call *) NONNULL(1, 2);
void view_budget_limits(struct api *, struct api_call *) NONNULL(1, 2);
void view_budget_trends(struct api *, struct api_call *) NONNULL(1, 2);
void view_budget_forecast(struct api *, struct api_call *) NONNULL(1, 2);
void view_forecasts(struct api *, struct api_call *) NONNULL(1, 2);
void view_anomalies(struct api *, struct api_call *) NONNULL(1, 2);
void view_analytics_costs(struct api *, struct api_call *) NONNULL(1, 2);
void view_circuit_breakers(struct api *, struct api_call *) NONNULL(1, 2);
void view_overview(struct api *, struct api_call *) NONNULL(1, 2);
void view_alerts(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_ack(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_resolve(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_retry(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_outbox(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_outbox_retry(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_mutes(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_mute(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_unmute(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_test(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_preview(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_channels(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_enable(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_stats(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_dashboard(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_page(struct api *, struct api_call *) NONNULL(1, 2);
void view_alert_page_act(struct api *, struct api_call *) NONNULL(1, 2);

#endif
