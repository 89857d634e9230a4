/* alertmanager.h - alerts as Prometheus' Alertmanager has them: labels say which alert it is, so nothing that changes
 * may be in them; amounts are annotations. Pure; any thread. */
#ifndef ALERTS_ALERTMANAGER_H
#define ALERTS_ALERTMANAGER_H

#include "alerts/channel.h"

/* alertname by the family of the type, severity, instance, scope, budget, and the facts' labels. Names are made of
 * letters, digits and _; values on one line and cut; empty ones are left out. A new reference; NULL: no memory. */
json_t *alertmanager_labels(const struct message *, enum severity) NONNULL(1) MUST_USE;
/* summary, description, and what the brief says in figures. A new reference; NULL: no memory. */
json_t *alertmanager_annotations(const struct message *) NONNULL(1) MUST_USE;
/* Where a link from the alert leads; NULL: nowhere. The text lives as long as the message. */
const char *alertmanager_link(const struct message *) NONNULL(1);

#endif
