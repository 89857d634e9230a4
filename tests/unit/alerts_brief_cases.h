/* alerts_brief_cases.h - what is told about each type of alert, word by word. Facts in JSON with single quotes; null
 * takes a member of the base away. */
#ifndef ALERTS_BRIEF_CASES_H
#define ALERTS_BRIEF_CASES_H

static const char budget_base[] =
    "{'id':'a1b2c3-42','type':'budget.threshold','severity':'warning','level':'warning','state'"
    ":'firing','title':'Budget threshold reached','message':'budget search-daily reached 80 % o"
    "f its limit','incident':12,'dedup_key':'00','scope':{'kind':'global','id':''},'labels':{'t"
    "eam':'search'},'budget_id':'search-daily','period':'day','window_start':1795219200,'window"
    "_end':1795305600,'limit_nanos':50000000000,'spent_nanos':40123456789,'reserved_nanos':0,'u"
    "nit':'USD','currency':'USD','ratio':0.802469,'threshold':0.8,'at':'2026-11-21T08:00:00.000"
    "Z','since':'2026-11-21T08:00:00.000Z','node':'node-1','rate':{'per_hour':6.1,'runs_out_at'"
    ":'2026-11-21T09:37:00Z'},'top':[{'key':'ci-bot','user':'ann','model':'gpt-5','spent':'31.0"
    "2 USD'},{'key':'web','user':'','model':'gpt-5-mini','spent':'6.40 USD'},{'key':'ben','user"
    "':'ben','model':'o3','spent':'2.70 USD'}],'next':'From 100 % on, calls are refused until 2"
    "026-11-22 00:00 UTC.','command':'bursar budgets limit search-daily 75','links':{'open':'ht"
    "tps://bursar.example/ui/incidents/12','acknowledge':'https://bursar.example/a?i=12&a=ack&e"
    "=1795824000&s=QUJD','resolve':'https://bursar.example/a?i=12&a=resolve&e=1795824000&s=REVG"
    "'},'details':{}}";

static const char other_base[] =
    "{'id':'a1b2c3-50','level':'critical','state':'firing','severity':'error','incident':31,'sc"
    "ope':{'kind':'global','id':''},'labels':{},'at':'2026-11-21T08:00:00.000Z','since':'2026-1"
    "1-21T08:00:00.000Z','node':'node-1','details':{},'links':{'open':'https://bursar.example/u"
    "i/incidents/31'}}";

static const struct brief_case {
	const char *name;
	enum message_op op;
	const char *base, *facts, *want;
} cases[] = {
    {"threshold", SAY_FIRE, budget_base, "{}",
     "Budget search-daily: 80 % used\n"
     "40.12 of 50.00 USD (80.2 %) have been spent since 2026-11-21 00:00 UTC. At 6.10 USD an hour it is used up by "
     "2026-11-21 09:37 UTC, 14 hours before the day ends.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Left: 9.88 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Runs out: 2026-11-21 09:37 UTC, in 97 minutes\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Team: search\n"
     "Who spent most:\n"
     "- ci-bot (user ann), gpt-5: 31.02 USD\n"
     "- web, gpt-5-mini: 6.40 USD\n"
     "- ben, o3: 2.70 USD\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar budgets limit search-daily 75\n"
     "<Open https://bursar.example/ui/incidents/12>\n"
     "<Acknowledge https://bursar.example/a?i=12&a=ack&e=1795824000&s=QUJD>\n"
     "<Resolve https://bursar.example/a?i=12&a=resolve&e=1795824000&s=REVG>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) b45309\n"},
    {"threshold with holds, a counter of one user", SAY_FIRE, budget_base,
     "{'scope':{'kind':'user','id':'ann'},'reserved_nanos':3000000000,'ratio':0.862469}",
     "Budget search-daily, user ann: 86 % used\n"
     "40.12 of 50.00 USD (80.2 %) have been spent since 2026-11-21 00:00 UTC; running calls hold another 3.00 USD, "
     "together 86.2 %. At 6.10 USD an hour it is used up by 2026-11-21 09:37 UTC, 14 hours before the day ends.\n"
     "[Budget search-daily, user ann (incident 12)]\n"
     "Budget: search-daily, user ann\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Held by running calls: 3.00 USD\n"
     "Left: 6.88 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Runs out: 2026-11-21 09:37 UTC, in 97 minutes\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Team: search\n"
     "Who spent most:\n"
     "- ci-bot (user ann), gpt-5: 31.02 USD\n"
     "- web, gpt-5-mini: 6.40 USD\n"
     "- ben, o3: 2.70 USD\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar budgets limit search-daily 75\n"
     "<Open https://bursar.example/ui/incidents/12>\n"
     "<Acknowledge https://bursar.example/a?i=12&a=ack&e=1795824000&s=QUJD>\n"
     "<Resolve https://bursar.example/a?i=12&a=resolve&e=1795824000&s=REVG>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) b45309\n"},
    {"it lasts", SAY_FIRE, budget_base,
     "{'spent_nanos':25000000000,'ratio':0.5,'threshold':0.5,'rate':{'per_hour':0.5,'runs_out_at"
     "':null},'labels':null,'top':null,'command':null,'links':null}",
     "Budget search-daily: 50 % used\n"
     "25.00 of 50.00 USD (50 %) have been spent since 2026-11-21 00:00 UTC. At 0.50 USD an hour it lasts until the day "
     "ends at 2026-11-22 00:00 UTC.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 25.00 of 50.00 USD (50 %)\n"
     "Left: 25.00 USD\n"
     "Rate: 0.50 USD an hour\n"
     "Runs out: not before the day ends\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) b45309\n"},
    {"used up", SAY_UPDATE, budget_base,
     "{'type':'budget.exceeded','severity':'critical','spent_nanos':50000000000,'ratio':1.0,'thr"
     "eshold':1.0,'at':'2026-11-21T09:40:00Z','next':'Calls are refused until 2026-11-22 00:00 U"
     "TC, or until the limit is raised.'}",
     "Budget search-daily: used up\n"
     "50.00 of 50.00 USD (100 %) have been spent since 2026-11-21 00:00 UTC. The day ends at 2026-11-22 00:00 UTC, in "
     "14 hours.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 50.00 of 50.00 USD (100 %)\n"
     "Rate: 6.10 USD an hour\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Since: 2026-11-21 08:00 UTC, for 100 minutes\n"
     "Team: search\n"
     "Who spent most:\n"
     "- ci-bot (user ann), gpt-5: 31.02 USD\n"
     "- web, gpt-5-mini: 6.40 USD\n"
     "- ben, o3: 2.70 USD\n"
     "Next: Calls are refused until 2026-11-22 00:00 UTC, or until the limit is raised.\n"
     "$ bursar budgets limit search-daily 75\n"
     "<Open https://bursar.example/ui/incidents/12>\n"
     "<Acknowledge https://bursar.example/a?i=12&a=ack&e=1795824000&s=QUJD>\n"
     "<Resolve https://bursar.example/a?i=12&a=resolve&e=1795824000&s=REVG>\n"
     "(2026-11-21 09:40 UTC, node-1, incident 12) 991b1b\n"},
    {"over", SAY_UPDATE, budget_base,
     "{'severity':'critical','spent_nanos':51600000000,'ratio':1.032,'threshold':1.0,'at':'2026-"
     "11-21T09:40:00Z','next':'','labels':null,'top':null,'command':null,'links':null}",
     "Budget search-daily: 103 % used\n"
     "51.60 of 50.00 USD (103.2 %) have been spent since 2026-11-21 00:00 UTC. The day ends at 2026-11-22 00:00 UTC, "
     "in 14 hours.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 51.60 of 50.00 USD (103.2 %)\n"
     "Over by: 1.60 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Since: 2026-11-21 08:00 UTC, for 100 minutes\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 09:40 UTC, node-1, incident 12) 991b1b\n"},
    {"tokens", SAY_FIRE, budget_base,
     "{'budget_id':'night-batch','limit_nanos':2000000,'spent_nanos':1634567,'unit':'tokens','ra"
     "tio':0.817,'rate':{'per_hour':204320.0,'runs_out_at':'2026-11-21T09:47:00Z'},'labels':null"
     ",'currency':null,'top':null,'command':null,'links':null}",
     "Budget night-batch: 81 % used\n"
     "1,634,567 of 2,000,000 tokens (81.7 %) have been used since 2026-11-21 00:00 UTC. At 204,320 tokens an hour it "
     "is used up by 2026-11-21 09:47 UTC, 14 hours before the day ends.\n"
     "[Budget night-batch (incident 12)]\n"
     "Budget: night-batch\n"
     "Used: 1,634,567 of 2,000,000 tokens (81.7 %)\n"
     "Left: 365,433 tokens\n"
     "Rate: 204,320 tokens an hour\n"
     "Runs out: 2026-11-21 09:47 UTC, in 107 minutes\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) b45309\n"},
    {"requests, total", SAY_FIRE, budget_base,
     "{'budget_id':'trial','period':'total','window_start':0,'window_end':9223372036,'limit_nano"
     "s':1000,'spent_nanos':900,'unit':'requests','ratio':0.9,'threshold':0.9,'labels':null,'rat"
     "e':null,'top':null,'next':null,'command':null,'links':null}",
     "Budget trial: 90 % used\n"
     "900 of 1,000 requests (90 %) have been made.\n"
     "[Budget trial (incident 12)]\n"
     "Budget: trial\n"
     "Used: 900 of 1,000 requests (90 %)\n"
     "Left: 100 requests\n"
     "Window: total\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) b45309\n"},
    {"rolling", SAY_FIRE, budget_base,
     "{'period':'rolling 24h','window_start':1795161600,'window_end':1795248000,'labels':null,'t"
     "op':null,'next':null,'command':null,'links':null}",
     "Budget search-daily: 80 % used\n"
     "40.12 of 50.00 USD (80.2 %) have been spent in the last 24h. At 6.10 USD an hour it is used up by 2026-11-21 "
     "09:37 UTC.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Left: 9.88 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Runs out: 2026-11-21 09:37 UTC, in 97 minutes\n"
     "Window: rolling 24h\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) b45309\n"},
    {"small money", SAY_FIRE, budget_base,
     "{'limit_nanos':125000000,'spent_nanos':1234567,'reserved_nanos':2,'ratio':0.0099,'threshol"
     "d':0,'rate':{'per_hour':4e-06},'labels':null,'top':null,'command':null,'links':null}",
     "Budget search-daily: 0 % used\n"
     "0.0012 of 0.125 USD (0.9 %) have been spent since 2026-11-21 00:00 UTC; running calls hold another 0.000000002 "
     "USD, together 0.9 %. At 0.0000040 USD an hour it lasts until the day ends at 2026-11-22 00:00 UTC.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 0.0012 of 0.125 USD (0.9 %)\n"
     "Held by running calls: 0.000000002 USD\n"
     "Left: 0.12 USD\n"
     "Rate: 0.0000040 USD an hour\n"
     "Runs out: not before the day ends\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) b45309\n"},
    {"bare facts", SAY_FIRE, "{}", "{'type':'budget.threshold','budget_id':'x'}",
     "Budget x: threshold reached\n"
     "\n"
     "[Budget x: threshold reached]\n"
     "Budget: x\n"
     "(bursar) 2563eb\n"},
    {"no facts at all", SAY_FIRE, "{}", "{}",
     "Alert\n"
     "\n"
     "[Alert]\n"
     "(bursar) 2563eb\n"},
    {"reset", SAY_RESOLVE, budget_base,
     "{'type':'budget.reset','severity':'info','title':'Budget starts anew','message':'Budget se"
     "arch-daily begins anew','threshold':0,'at':'2026-11-22T00:00:05Z','top':[],'rate':null}",
     "Resolved: Budget search-daily\n"
     "A new day has begun, and the budget starts again at zero. In the day that is over, 40.12 of 50.00 USD (80.2 %) "
     "were spent.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Began: 2026-11-21 08:00 UTC, it lasted 16 hours\n"
     "Team: search\n"
     "<Open https://bursar.example/ui/incidents/12>\n"
     "(2026-11-22 00:00 UTC, node-1, incident 12) 15803d\n"},
    {"limit raised", SAY_RESOLVE, budget_base,
     "{'type':'budget.recovered','severity':'info','title':'Budget is below its threshold again'"
     ",'message':'the limit is now 75 USD','limit_nanos':75000000000,'ratio':0.535,'threshold':0"
     ",'at':'2026-11-21T09:00:00Z','labels':null,'top':null,'command':null,'links':null}",
     "Resolved: Budget search-daily\n"
     "The limit is now 75 USD. 40.12 of 75.00 USD (53.4 %) have been spent since 2026-11-21 00:00 UTC.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 75.00 USD (53.4 %)\n"
     "Left: 34.88 USD\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Began: 2026-11-21 08:00 UTC, it lasted 60 minutes\n"
     "(2026-11-21 09:00 UTC, node-1, incident 12) 15803d\n"},
    {"resolved by hand", SAY_RESOLVE, budget_base,
     "{'message':'ann says that it is over. It was: x','at':'2026-11-21T08:30:00Z','details':{'b"
     "y':'ann','reason':'expected, a load test'},'labels':null,'top':null,'command':null,'links'"
     ":null}",
     "Resolved: Budget search-daily\n"
     "ann marked it as resolved: expected, a load test. 40.12 of 50.00 USD (80.2 %) have been spent since 2026-11-21 "
     "00:00 UTC.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Left: 9.88 USD\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Began: 2026-11-21 08:00 UTC, it lasted 30 minutes\n"
     "(2026-11-21 08:30 UTC, node-1, incident 12) 15803d\n"},
    {"acknowledged", SAY_ACK, budget_base,
     "{'message':'ann takes care of it: x','at':'2026-11-21T08:10:00Z','details':{'by':'ann'},'l"
     "abels':null,'top':null,'command':null,'links':null}",
     "Acknowledged: Budget search-daily: 80 % used\n"
     "ann takes care of it. 40.12 of 50.00 USD (80.2 %) have been spent since 2026-11-21 00:00 UTC. At 6.10 USD an "
     "hour it is used up by 2026-11-21 09:37 UTC, 14 hours before the day ends.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Left: 9.88 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Runs out: 2026-11-21 09:37 UTC, in 87 minutes\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Since: 2026-11-21 08:00 UTC, for 10 minutes\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "(2026-11-21 08:10 UTC, node-1, incident 12) b45309\n"},
    {"escalated", SAY_ESCALATE, budget_base,
     "{'severity':'critical','message':'ESCALATED ALERT: x','threshold':1.0,'at':'2026-11-21T08:"
     "45:00Z','escalated':{'original_level':'warning','reason':'repeated_alerts_or_persistent_co"
     "ndition','events':5},'labels':null,'top':null,'command':null,'links':null}",
     "Escalated: Budget search-daily: 80 % used\n"
     "It was reported 5 times and goes on; nobody has acknowledged it. 40.12 of 50.00 USD (80.2 %) have been spent "
     "since 2026-11-21 00:00 UTC. At 6.10 USD an hour it is used up by 2026-11-21 09:37 UTC, 14 hours before the day "
     "ends.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Left: 9.88 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Runs out: 2026-11-21 09:37 UTC, in 52 minutes\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Since: 2026-11-21 08:00 UTC, for 45 minutes\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:45 UTC, node-1, incident 12) 991b1b\n"},
    {"blocked", SAY_UPDATE, budget_base,
     "{'type':'budget.blocked','severity':'critical','title':'Calls are refused: budget used up'"
     ",'message':'a call of 0.40 USD was refused','spent_nanos':49800000000,'ratio':0.996,'thres"
     "hold':0}",
     "Budget search-daily: calls are refused\n"
     "A call of 0.40 USD was refused. 49.80 of 50.00 USD (99.6 %) have been spent since 2026-11-21 00:00 UTC. The day "
     "ends at 2026-11-22 00:00 UTC, in 16 hours.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 49.80 of 50.00 USD (99.6 %)\n"
     "Left: 0.20 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Runs out: 2026-11-21 09:37 UTC, in 97 minutes\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Team: search\n"
     "Who spent most:\n"
     "- ci-bot (user ann), gpt-5: 31.02 USD\n"
     "- web, gpt-5-mini: 6.40 USD\n"
     "- ben, o3: 2.70 USD\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar budgets limit search-daily 75\n"
     "<Open https://bursar.example/ui/incidents/12>\n"
     "<Acknowledge https://bursar.example/a?i=12&a=ack&e=1795824000&s=QUJD>\n"
     "<Resolve https://bursar.example/a?i=12&a=resolve&e=1795824000&s=REVG>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) 991b1b\n"},
    {"throttled", SAY_UPDATE, budget_base,
     "{'type':'budget.throttled','title':'Calls are slowed down','message':'calls wait up to 5 s"
     " each','threshold':0,'labels':null,'top':null,'command':null,'links':null}",
     "Budget search-daily: calls are slowed down\n"
     "Calls wait up to 5 s each. 40.12 of 50.00 USD (80.2 %) have been spent since 2026-11-21 00:00 UTC. At 6.10 USD "
     "an hour it is used up by 2026-11-21 09:37 UTC, 14 hours before the day ends.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Left: 9.88 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Runs out: 2026-11-21 09:37 UTC, in 97 minutes\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) b45309\n"},
    {"degraded", SAY_UPDATE, budget_base,
     "{'type':'budget.degraded','title':'Calls get a cheaper model','message':'gpt-5 becomes gpt"
     "-5-mini','threshold':0,'labels':null,'top':null,'command':null,'links':null}",
     "Budget search-daily: calls go to cheaper models\n"
     "gpt-5 becomes gpt-5-mini. 40.12 of 50.00 USD (80.2 %) have been spent since 2026-11-21 00:00 UTC. At 6.10 USD an "
     "hour it is used up by 2026-11-21 09:37 UTC, 14 hours before the day ends.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Left: 9.88 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Runs out: 2026-11-21 09:37 UTC, in 97 minutes\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) b45309\n"},
    {"overrun", SAY_FIRE, budget_base,
     "{'type':'budget.overrun','severity':'error','title':'A bill was above its hold','message':"
     "'a call cost 0.12 USD more than was held for it','threshold':0,'labels':null,'top':null,'c"
     "ommand':null,'links':null}",
     "Budget search-daily: a bill was higher than its hold\n"
     "A call cost 0.12 USD more than was held for it. 40.12 of 50.00 USD (80.2 %) have been spent since 2026-11-21 "
     "00:00 UTC. At 6.10 USD an hour it is used up by 2026-11-21 09:37 UTC, 14 hours before the day ends.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Left: 9.88 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Runs out: 2026-11-21 09:37 UTC, in 97 minutes\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) dc2626\n"},
    {"burn rate", SAY_FIRE, budget_base,
     "{'type':'budget.burn_rate','severity':'error','title':'Budget is spent too fast','message'"
     ":'budget search-daily is spent 14.6 times as fast as planned: 3.04 USD in 60 minutes','thr"
     "eshold':0,'labels':null,'top':null,'command':null,'links':null}",
     "Budget search-daily: spent too fast\n"
     "Budget search-daily is spent 14.6 times as fast as planned: 3.04 USD in 60 minutes. 40.12 of 50.00 USD (80.2 %) "
     "have been spent since 2026-11-21 00:00 UTC. At 6.10 USD an hour it is used up by 2026-11-21 09:37 UTC, 14 hours "
     "before the day ends.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Left: 9.88 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Runs out: 2026-11-21 09:37 UTC, in 97 minutes\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) dc2626\n"},
    {"burn rate over", SAY_RESOLVE, budget_base,
     "{'type':'budget.burn_rate','severity':'info','title':'Budget is spent too fast','message':"
     "'budget search-daily: the fast spending (fast) is over','threshold':0,'at':'2026-11-21T10:"
     "00:00Z','labels':null,'top':null,'command':null,'links':null}",
     "Resolved: Budget search-daily\n"
     "Budget search-daily: the fast spending (fast) is over. 40.12 of 50.00 USD (80.2 %) have been spent since "
     "2026-11-21 00:00 UTC.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Left: 9.88 USD\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Began: 2026-11-21 08:00 UTC, it lasted 2 hours\n"
     "(2026-11-21 10:00 UTC, node-1, incident 12) 15803d\n"},
    {"forecast", SAY_FIRE, budget_base,
     "{'type':'forecast.over','title':'Budget will probably not last','message':'budget search-m"
     "onthly will probably end at 1204.00 USD (80 % between 1101.00 and 1320.00), its limit is 1"
     "000.00 USD','budget_id':'search-monthly','period':'month','window_start':1793491200,'windo"
     "w_end':1796083200,'limit_nanos':1000000000000,'spent_nanos':700000000000,'ratio':0.7,'thre"
     "shold':0,'rate':{'per_hour':2.5,'runs_out_at':'2026-11-26T08:00:00Z'},'labels':null,'top':"
     "null,'command':null,'links':null}",
     "Budget search-monthly: will probably not last\n"
     "Budget search-monthly will probably end at 1204.00 USD (80 % between 1101.00 and 1320.00), its limit is 1000.00 "
     "USD. 700.00 of 1,000.00 USD (70 %) have been spent since 2026-11-01 00:00 UTC. At 2.50 USD an hour it is used up "
     "by 2026-11-26 08:00 UTC, 4 days before the month ends.\n"
     "[Budget search-monthly (incident 12)]\n"
     "Budget: search-monthly\n"
     "Spent: 700.00 of 1,000.00 USD (70 %)\n"
     "Left: 300.00 USD\n"
     "Rate: 2.50 USD an hour\n"
     "Runs out: 2026-11-26 08:00 UTC, in 5 days\n"
     "Window: month, 2026-11-01 00:00 to 2026-12-01 00:00 UTC\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) b45309\n"},
    {"breaker of a vendor", SAY_FIRE, other_base,
     "{'type':'breaker.opened','title':'Circuit breaker opened','message':'5 calls in a row fail"
     "ed','scope':{'kind':'provider','id':'openai@api.openai.com:443'},'details':{'kind':'upstre"
     "am','name':'openai@api.openai.com:443','from':'closed','to':'open','cause':'failure_streak"
     "','value':5,'threshold':5,'until':'2026-11-21T08:00:05Z','shadow':false},'next':'One call "
     "tries it again at 2026-11-21 08:00 UTC; others are refused until it works.'}",
     "Vendor openai at api.openai.com: fails, calls to it are paused\n"
     "5 calls in a row failed.\n"
     "[Vendor openai at api.openai.com (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "Cause: failure streak\n"
     "Until: 2026-11-21 08:00 UTC\n"
     "Next: One call tries it again at 2026-11-21 08:00 UTC; others are refused until it works.\n"
     "$ bursar alerts ack 31\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) dc2626\n"},
    {"vendor works again", SAY_RESOLVE, other_base,
     "{'type':'breaker.closed','severity':'info','title':'Circuit breaker closed','message':'3 c"
     "alls in a row went well','scope':{'kind':'provider','id':'openai@api.openai.com:443'},'at'"
     ":'2026-11-21T08:07:00Z'}",
     "Resolved: Vendor openai at api.openai.com\n"
     "3 calls in a row went well.\n"
     "[Vendor openai at api.openai.com (incident 31)]\n"
     "Began: 2026-11-21 08:00 UTC, it lasted 7 minutes\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:07 UTC, node-1, incident 31) 15803d\n"},
    {"breaker of money", SAY_FIRE, budget_base,
     "{'type':'breaker.opened','severity':'error','title':'Circuit breaker opened','message':'sp"
     "ending was 15 times as fast as planned','threshold':0,'details':{'cause':'burn'},'labels':"
     "null,'top':null,'command':null,'links':null}",
     "Budget search-daily: calls are stopped by its breaker\n"
     "Spending was 15 times as fast as planned. 40.12 of 50.00 USD (80.2 %) have been spent since 2026-11-21 00:00 "
     "UTC. The day ends at 2026-11-22 00:00 UTC, in 16 hours.\n"
     "[Budget search-daily (incident 12)]\n"
     "Budget: search-daily\n"
     "Spent: 40.12 of 50.00 USD (80.2 %)\n"
     "Left: 9.88 USD\n"
     "Rate: 6.10 USD an hour\n"
     "Runs out: 2026-11-21 09:37 UTC, in 97 minutes\n"
     "Window: day, 2026-11-21 00:00 to 2026-11-22 00:00 UTC\n"
     "Next: From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\n"
     "$ bursar alerts ack 12\n"
     "(2026-11-21 08:00 UTC, node-1, incident 12) dc2626\n"},
    {"loop", SAY_FIRE, other_base,
     "{'type':'loop.quarantined','title':'A loop was stopped','message':'the same request came 4"
     "0 times in a minute','scope':{'kind':'key','id':'ci-bot'},'labels':{'key':'ci-bot','user':"
     "'ann'},'details':{'name':'ci-bot','cause':'repeat','value':40,'threshold':40,'cost_nanousd"
     "':1234567890,'until_ns':1795248600000000000},'command':'bursar resume --loop ci-bot'}",
     "Key ci-bot: a loop was stopped\n"
     "The same request came 40 times in a minute.\n"
     "[Key ci-bot (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "Cause: repeat\n"
     "Cost: 1.23 USD\n"
     "Until: 2026-11-21 08:10 UTC\n"
     "User: ann\n"
     "$ bursar resume --loop ci-bot\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) dc2626\n"},
    {"loop over", SAY_RESOLVE, other_base,
     "{'type':'loop.released','severity':'info','title':'A stopped loop may go on','message':'',"
     "'scope':{'kind':'key','id':'ci-bot'},'at':'2026-11-21T08:10:00Z'}",
     "Resolved: Key ci-bot\n"
     "It is over.\n"
     "[Key ci-bot (incident 31)]\n"
     "Began: 2026-11-21 08:00 UTC, it lasted 10 minutes\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:10 UTC, node-1, incident 31) 15803d\n"},
    {"stop", SAY_FIRE, other_base,
     "{'type':'stop.set','title':'Calls are stopped by hand','message':'root stopped all calls o"
     "f team ads: invoice dispute','scope':{'kind':'team','id':'ads'},'details':{'actor':'root',"
     "'reason':'invoice dispute'}}",
     "Team ads: stopped by hand\n"
     "Root stopped all calls of team ads: invoice dispute.\n"
     "[Team ads (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "By: root\n"
     "Reason: invoice dispute\n"
     "$ bursar alerts ack 31\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) dc2626\n"},
    {"stop of everything", SAY_FIRE, other_base,
     "{'type':'stop.set','title':'Calls are stopped by hand','message':'root stopped all calls'}",
     "Calls are stopped by hand\n"
     "Root stopped all calls.\n"
     "[Calls are stopped by hand (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "$ bursar alerts ack 31\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) dc2626\n"},
    {"anomaly", SAY_FIRE, other_base,
     "{'type':'spend.anomaly','severity':'warning','title':'Unusual spending','message':'key ci-"
     "bot: 12.34 USD in this hour so far, usually 1.20 USD in a whole one','scope':{'kind':'key'"
     ",'id':'ci-bot'},'details':{'scope':'key ci-bot','hour':'2026-11-21T08:00:00Z','level':2,'o"
     "ver':true,'baseline':'hour of week','spent':'12.34','x':'24.68','m':'1.2','s':'0.5','n':8,"
     "'z':46.96,'most_increased':[{'key':'ci-bot','model':'gpt-5','user':'ann','spent':'11.2','u"
     "sual':'0.9'},{'key':'ci-bot','model':'o3','user':'','spent':'1.14','usual':'0'}]}}",
     "Key ci-bot: unusual spending\n"
     "Key ci-bot: 12.34 USD in this hour so far, usually 1.20 USD in a whole one.\n"
     "[Key ci-bot (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "Hour: 2026-11-21 08:00 UTC\n"
     "Baseline: hour of week\n"
     "Spent in this hour: 12.34 USD\n"
     "Scaled to a whole hour: 24.68 USD\n"
     "Usual in this hour: 1.20 USD\n"
     "Usual spread: 0.50 USD\n"
     "Hours it was compared with: 8\n"
     "Spreads above usual: 46.96\n"
     "Where it rose most:\n"
     "- ci-bot (user ann), gpt-5: 11.20 USD, usually 0.90 USD\n"
     "- ci-bot, o3: 1.14 USD, usually 0.00 USD\n"
     "$ bursar alerts ack 31\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) b45309\n"},
    {"price", SAY_FIRE, other_base,
     "{'type':'price.unknown_model','severity':'warning','title':'A model without a price','mess"
     "age':'gpt-9-preview was called and no price is known: its calls are refused','scope':{'kin"
     "d':'model','id':'gpt-9-preview'},'labels':{'provider':'openai','model':'gpt-9-preview'},'c"
     "ommand':'bursar prices set gpt-9-preview'}",
     "Model gpt-9-preview: no price is known\n"
     "gpt-9-preview was called and no price is known: its calls are refused.\n"
     "[Model gpt-9-preview (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "Vendor: openai\n"
     "$ bursar prices set gpt-9-preview\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) b45309\n"},
    {"a vendor's breaker, escalated", SAY_ESCALATE, other_base,
     "{'type':'breaker.opened','severity':'critical','title':'Circuit breaker opened','message':"
     "'ESCALATED ALERT: 5 calls in a row failed','scope':{'kind':'provider','id':'openai@api.ope"
     "nai.com:443'},'escalated':{'reason':'not_acknowledged','events':1}}",
     "Escalated: Vendor openai at api.openai.com: fails, calls to it are paused\n"
     "Nobody has acknowledged it so far. 5 calls in a row failed.\n"
     "[Vendor openai at api.openai.com (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "$ bursar alerts ack 31\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) 991b1b\n"},
    {"a vendor's breaker, acknowledged", SAY_ACK, other_base,
     "{'type':'breaker.opened','title':'Circuit breaker opened','message':'ann takes care of it:"
     " 5 calls in a row failed','scope':{'kind':'provider','id':'openai@api.openai.com:443'},'de"
     "tails':{'by':'ann','reason':'status page says so'}}",
     "Acknowledged: Vendor openai at api.openai.com: fails, calls to it are paused\n"
     "ann takes care of it: status page says so.\n"
     "[Vendor openai at api.openai.com (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "Reason: status page says so\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) dc2626\n"},
    {"ledger", SAY_FIRE, other_base,
     "{'type':'ledger.repaired','severity':'warning','title':'The ledger was repaired','message'"
     ":'3 calls of before the restart were charged their holds','details':{'rows':3,'charged_nan"
     "ousd':420000000}}",
     "The ledger was repaired\n"
     "3 calls of before the restart were charged their holds.\n"
     "[The ledger was repaired (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "Rows: 3\n"
     "Charged: 0.42 USD\n"
     "$ bursar alerts ack 31\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) b45309\n"},
    {"key", SAY_FIRE, other_base,
     "{'type':'key.expiring','severity':'warning','title':'A key is about to expire','message':'"
     "key ci-bot ends at 2026-11-28 00:00 UTC, in 6 days','scope':{'kind':'key','id':'ci-bot'},'"
     "labels':{'key':'ci-bot','user':'ann'},'command':'bursar keys create ci-bot-2'}",
     "Key ci-bot: about to expire\n"
     "Key ci-bot ends at 2026-11-28 00:00 UTC, in 6 days.\n"
     "[Key ci-bot (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "User: ann\n"
     "$ bursar keys create ci-bot-2\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) b45309\n"},
    {"channel", SAY_FIRE, other_base,
     "{'type':'system.degraded','title':'bursar needs attention','message':'the mail server refu"
     "sed the password of bursar@example.com: check alerts.channels.ops-mail.email.password','sc"
     "ope':{'kind':'channel','id':'ops-mail'}}",
     "Channel ops-mail: messages do not get through\n"
     "The mail server refused the password of bursar@example.com: check alerts.channels.ops-mail.email.password.\n"
     "[Channel ops-mail (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "$ bursar alerts ack 31\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) dc2626\n"},
    {"storage", SAY_FIRE, other_base,
     "{'type':'system.degraded','title':'bursar needs attention','message':'the disk of the data"
     " folder is almost full: 812 MiB are left','scope':{'kind':'store','id':''},'next':'Under 2"
     "56 MiB, calls of hard budgets are refused.'}",
     "bursar needs attention\n"
     "The disk of the data folder is almost full: 812 MiB are left.\n"
     "[bursar needs attention (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "Next: Under 256 MiB, calls of hard budgets are refused.\n"
     "$ bursar alerts ack 31\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) dc2626\n"},
    {"cloud", SAY_FIRE, other_base,
     "{'type':'cloud.source_failed','title':'A cloud\\u0027s bill cannot be read','message':'the "
     "bill of aws could not be read for 6 hours: access denied','scope':{'kind':'provider','id':"
     "'aws'}}",
     "Vendor aws: its bill cannot be read\n"
     "The bill of aws could not be read for 6 hours: access denied.\n"
     "[Vendor aws (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "$ bursar alerts ack 31\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) dc2626\n"},
    {"unknown type of later versions", SAY_FIRE, other_base,
     "{'type':'new.thing','title':'Something new','message':'something new happened','scope':{'k"
     "ind':'key','id':'k1'}}",
     "Key k1: something new\n"
     "Something new happened.\n"
     "[Key k1 (incident 31)]\n"
     "Since: 2026-11-21 08:00 UTC\n"
     "$ bursar alerts ack 31\n"
     "<Open https://bursar.example/ui/incidents/31>\n"
     "(2026-11-21 08:00 UTC, node-1, incident 31) dc2626\n"},
    {"digest", SAY_DIGEST, "{}",
     "{'id':'a1b2c3-d9','type':'digest','severity':'critical','state':'digest','at':'2026-11-21T"
     "08:05:00Z','node':'node-1','labels':{},'links':{'open':'https://bursar.example/ui/incident"
     "s'},'digest':{'count':1000,'by_type':{'budget.threshold':990,'budget.exceeded':10},'by_sev"
     "erity':{'critical':10,'warning':990},'lines':['Budget per-user, user u000: 80 % used','Bud"
     "get per-user, user u001: 80 % used','Budget per-user, user u002: 80 % used','Budget per-us"
     "er, user u003: 80 % used','Budget per-user, user u004: 80 % used','Budget per-user, user u"
     "005: 80 % used','Budget per-user, user u006: 80 % used','Budget per-user, user u007: 80 % "
     "used','Budget per-user, user u008: 80 % used','Budget per-user, user u009: 80 % used','Bud"
     "get per-user, user u010: 80 % used','Budget per-user, user u011: 80 % used','Budget per-us"
     "er, user u012: 80 % used','Budget per-user, user u013: 80 % used','Budget per-user, user u"
     "014: 80 % used','Budget per-user, user u015: 80 % used','Budget per-user, user u016: 80 % "
     "used','Budget per-user, user u017: 80 % used','Budget per-user, user u018: 80 % used','Bud"
     "get per-user, user u019: 80 % used','Budget per-user, user u020: 80 % used','Budget per-us"
     "er, user u021: 80 % used','Budget per-user, user u022: 80 % used','Budget per-user, user u"
     "023: 80 % used','Budget per-user, user u024: 80 % used']}}",
     "1,000 alerts in one message\n"
     "These came faster than this channel is told one by one, or while it was quiet. Among them: 10 critical, 990 "
     "warnings.\n"
     "[1,000 alerts in one message]\n"
     "What happened:\n"
     "- Budget per-user, user u000: 80 % used\n"
     "- Budget per-user, user u001: 80 % used\n"
     "- Budget per-user, user u002: 80 % used\n"
     "- Budget per-user, user u003: 80 % used\n"
     "- Budget per-user, user u004: 80 % used\n"
     "- Budget per-user, user u005: 80 % used\n"
     "- Budget per-user, user u006: 80 % used\n"
     "- Budget per-user, user u007: 80 % used\n"
     "- Budget per-user, user u008: 80 % used\n"
     "- Budget per-user, user u009: 80 % used\n"
     "- Budget per-user, user u010: 80 % used\n"
     "- Budget per-user, user u011: 80 % used\n"
     "- Budget per-user, user u012: 80 % used\n"
     "- Budget per-user, user u013: 80 % used\n"
     "- Budget per-user, user u014: 80 % used\n"
     "- Budget per-user, user u015: 80 % used\n"
     "- Budget per-user, user u016: 80 % used\n"
     "- Budget per-user, user u017: 80 % used\n"
     "- Budget per-user, user u018: 80 % used\n"
     "- and 981 more\n"
     "$ bursar alerts list\n"
     "<Open https://bursar.example/ui/incidents>\n"
     "(2026-11-21 08:05 UTC, node-1) 991b1b\n"},
    {"digest of one", SAY_DIGEST, "{}",
     "{'type':'digest','severity':'warning','at':'2026-11-21T08:05:00Z','digest':{'count':1,'by_"
     "severity':{'info':1},'lines':['Budget x: 80 % used']}}",
     "1 alert in one message\n"
     "These came faster than this channel is told one by one, or while it was quiet. Among them: 1 note.\n"
     "[1 alert in one message]\n"
     "What happened:\n"
     "- Budget x: 80 % used\n"
     "$ bursar alerts list\n"
     "(2026-11-21 08:05 UTC) b45309\n"},
    {"test", SAY_TEST, "{}",
     "{'id':'a1b2c3-t1','type':'test','severity':'info','level':'info','state':'test','title':'T"
     "est','message':'Test','at':'2026-11-21T08:00:00Z','node':'node-1','period':'test','limit_n"
     "anos':100,'spent_nanos':50}",
     "Test message from bursar\n"
     "This is a test and nothing is wrong: messages from bursar reach this channel.\n"
     "[Test message from bursar]\n"
     "(2026-11-21 08:00 UTC, node-1) 2563eb\n"},
};

#endif
