#include "app/cmd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/settings.h"

#define CONFIG_HELP                                                                                                    \
	"  -c, --config FILE   configuration; default $BURSAR_CONFIG, ./bursar.yaml, ./conf/bursar.yaml,\n"            \
	"                      /etc/bursar/bursar.yaml\n"

static const struct cmd commands[] = {
    {"serve", "run the proxy",
     "usage: bursar serve [-c FILE] [--verify]\n\n"
     "Runs until SIGTERM or SIGINT: then takes no new calls, lets running ones finish (limits.drain_timeout), and "
     "ends;\n"
     "a second signal cuts them off. The first start makes the data folder, a certificate authority, a virtual key\n"
     "and an administrator's key.\n\n" CONFIG_HELP
     "      --verify        check the whole ledger before taking calls\n\n"
     "exit codes: 0 ended in good order, 1 could not start, 2 configuration is wrong, 70 disk trouble,\n"
     "            75 another bursar uses the data folder, 78 the data is damaged\n",
     cmd_serve},
    {"check-config", "check the configuration, print it, or print the reference",
     "usage: bursar check-config [-c FILE] [--dump-config | --reference]\n\n"
     "Reads the configuration as `serve` would, starts nothing. Errors say file:line:column.\n\n" CONFIG_HELP
     "      --dump-config   print what is in force, defaults included, secrets as ***\n"
     "      --reference     print docs/config.md: every key with type, default, bounds\n\n"
     "exit codes: 0 good, 2 wrong\n",
     cmd_check_config},
    {"demo", "watch a budget fill up and block, without key or network",
     "usage: bursar demo [--calls N] [--limit USD]\n\n"
     "Starts a bursar of its own in a temporary folder and a simulated vendor on this machine, sends calls until the\n"
     "budget is gone, shows the ledger and checks it against the vendor's own bill.\n\n"
     "      --calls N       calls to try at most; default 60\n"
     "      --limit USD     the budget; default 0.05\n",
     cmd_demo},
    {"env", "print the variables that point programs at bursar",
     "usage: bursar env [-c FILE] [--shell sh|fish|powershell|dotenv] [--gateway] [--key KEY]\n\n"
     "  eval \"$(bursar env)\"            this shell's programs go through the proxy, calls are intercepted\n"
     "  eval \"$(bursar env --gateway)\"  SDKs with a base URL talk to bursar directly; no certificate "
     "needed\n\n" CONFIG_HELP "      --shell WORD    syntax to print; default sh\n"
     "      --gateway       base URLs instead of HTTPS_PROXY\n"
     "      --key KEY       virtual key to put into the proxy URL; default $BURSAR_KEY, else none\n",
     cmd_env},
    {"ca", "make, show or export the certificate authority",
     "usage: bursar ca init [-c FILE] [--force] | status | export\n\n"
     "  bursar ca export > bursar-ca.pem         for programs that are to trust it\n\n"
     "  init      makes one for the hosts of providers and intercept rules; --force replaces the old one, and every\n"
     "            client must then trust the new root\n"
     "  status    subject, validity, fingerprint, hosts\n"
     "  export    the root certificate as PEM on standard output\n\n" CONFIG_HELP,
     cmd_ca},
    {"keys", "make, list and revoke virtual keys",
     "usage: bursar keys list [--format table|json|csv]\n"
     "       bursar keys create [NAME] [--user U] [--team T] [--project P] [--tag K=V]... [--role call|viewer|admin]\n"
     "                          [--expires DATE] [--may-set-user] [--format table|json]\n"
     "       bursar keys revoke NAME\n\n"
     "  bursar keys create ann --user ann --team search --tag env=prod\n"
     "  bursar keys create dashboard --role viewer --expires 2027-01-01\n"
     "  bursar keys revoke ann                                             refused from the next call on\n\n"
     "A key's text is shown once, when it is made; only its digest is kept. Keys of role `call` open the proxy,\n"
     "`viewer` and `admin` open the admin listener. Works with and without a running server.\n\n" CONFIG_HELP,
     cmd_keys},
    {"budgets", "show every budget; raise, lower, credit, charge; refund and adjust calls",
     "usage: bursar budgets [NAME] [--format table|json|csv]\n"
     "       bursar budgets raise|lower NAME AMOUNT --reason TEXT\n"
     "       bursar budgets credit NAME AMOUNT --reason TEXT [--scope S] [--expires 7d] [--carry-over]\n"
     "       bursar budgets charge NAME AMOUNT --reason TEXT [--scope S] [--take-back]\n"
     "       bursar budgets refund|adjust CALL AMOUNT --reason TEXT\n"
     "       bursar budgets audit [NAME] [-n N] [--cursor C] [--format table|json|csv]\n\n"
     "  bursar budgets                                                   what is left, which step is reached\n"
     "  bursar budgets raise search 80 USD --reason \"launch week\"        from the next call on\n"
     "  bursar budgets lower search 30 USD --reason \"launch is over\"     running calls go on (see lower_mode)\n"
     "  bursar budgets credit search 5 USD --reason demo                 5 USD more in this window\n"
     "  bursar budgets credit search 5 USD --reason demo --scope user=ann --expires 30d --carry-over\n"
     "  bursar budgets charge search 12.40 USD --reason \"other bill\"     spent beside the proxy\n"
     "  bursar budgets refund 8123 0.40 USD --reason goodwill            of row 8123 of `bursar ledger`, or its id\n"
     "  bursar budgets adjust 8123 1.30 USD --reason invoice             what the call really costs\n"
     "  bursar budgets audit                                             who changed what, when, why\n\n"
     "A limit holds until the configuration's own is edited. Credit is for one counter (--scope, as in the list) and\n"
     "ends with its window, or sooner (--expires); with --carry-over what is left goes on into the next windows. "
     "Works\n"
     "with and without a running server; every change stands in the hash-chained audit log, which `bursar verify`\n"
     "checks.\n\n" CONFIG_HELP "      --id ID         the same change with the same ID is made once\n"
     "      --take-back     a charge that is taken back\n",
     cmd_budgets},
    {"forecast", "how fast budgets are spent, what their windows will cost, when they run out",
     "usage: bursar forecast [BUDGET] [--format table|json|csv]\n\n"
     "  bursar forecast\n"
     "  bursar forecast team-a --format json\n\n"
     "P10, P50 and P90: one time in ten, in two, and nine in ten the window ends at that or less. BURN names the rows\n"
     "that are over their thresholds, and how many times faster than planned money goes there. What is computed how\n"
     "stands in docs/foresight.md. Works with and without a running server.\n\n" CONFIG_HELP,
     cmd_forecast},
    {"ledger", "show what was charged, newest first",
     "usage: bursar ledger [-n N] [--from DATE] [--to DATE] [--key K] [--user U] [--team T] [--project P]\n"
     "                     [--provider P] [--model M] [--cursor C] [--oldest-first] [--format table|json|csv]\n\n"
     "  bursar ledger --team search --from 2026-11-01\n"
     "  bursar ledger -n 1000 --format csv > calls.csv\n"
     "  bursar explain --call ID                 all about one row\n\n"
     "  -n N                rows; default 20, at most 1000\n"
     "      --cursor C      go on after the page that ended with this cursor\n" CONFIG_HELP,
     cmd_ledger},
    {"explain", "why a call is admitted or refused: its budgets, every figure, each rung",
     "usage: bursar explain --provider P --model M [--key K] [--user U] [--team T] [--project P] [--tag K=V]...\n"
     "                      [--input-tokens N] [--max-out N] [--stream] [--no-degrade] [--all]\n"
     "       bursar explain --provider P --path PATH --request FILE [--key K] ... [--no-degrade] [--all]\n"
     "       bursar explain --call ID\n\n"
     "  bursar explain --key ann --provider openai --model gpt-5 --input-tokens 2000 --max-out 500\n"
     "  bursar explain --key ann --provider openai --path /v1/chat/completions --request body.json\n"
     "  bursar explain --call req_00000001000000000000002a51b3c8d4\n\n"
     "Shows who calls, the budgets that match and how they stand, and the ladder in its order: bound, exact count,\n"
     "another model, fewer tokens, delay, refusal as the application would see it. Nothing changes by asking. Works\n"
     "with and without a running server; without one nothing is held.\n\n"
     "      --key K         name of a virtual key, whose user, team, project and tags count; those given go before\n"
     "      --request FILE  a request body as it would be sent to PATH at the vendor\n"
     "      --input-tokens  of the prompt, when there is no request; default 1000\n"
     "      --no-degrade    as if the request said x-bursar-no-degrade: 1\n"
     "      --all           also the budgets that do not match, each with the first condition that fails\n"
     "      --call ID       a past call, by the x-bursar-request-id of its answer or the id in the ledger: what it\n"
     "                      held and cost, unit by unit, and which counters it moved\n"
     "      --format WORD   table or json\n" CONFIG_HELP
     "\nexit codes: 0 explained, 1 no such call, or no data, 2 wrong usage, 69 server does not answer\n",
     cmd_explain},
    {"simulate", "replay past calls under another policy: what it would have blocked, slowed, saved",
     "usage: bursar simulate [-c OTHER.yaml] [--days N | --from DATE] [--to DATE] [--data DIR]\n"
     "                       [--format table|json|csv]\n\n"
     "  cp bursar.yaml stricter.yaml             # change its budgets, then\n"
     "  bursar simulate -c stricter.yaml         # the last 30 days under it\n"
     "  bursar simulate -c stricter.yaml --from 2026-10-01 --to 2026-11-01\n"
     "  bursar simulate -c stricter.yaml --format json | jq .not_spent_usd\n\n"
     "Calls are admitted in the order in which they were, hold what they held, and settle at what they cost. Reads\n"
     "only: works beside a running server. What it assumes stands below its answer and in docs/explain.md.\n\n"
     "  -c, --config FILE   the policy to try; default the configuration in force\n"
     "      --days N        how far back; default 30\n"
     "      --from, --to    calls admitted in between, --to itself not; dates are UTC\n"
     "      --data DIR      folder of the ledger; default that of the policy file\n\n"
     "exit codes: 0 done, 1 no ledger there, or it cannot be read, 2 wrong usage or configuration\n",
     cmd_simulate},
    {"stop", "stop calls at once: of a key, user, team, project, provider, model, or all",
     "usage: bursar stop --key K | --user U | --team T | --project P | --provider V | --model M | --everything\n"
     "                   --reason TEXT [--cut]\n"
     "       bursar stop --list [--format table|json|csv]\n\n"
     "  bursar stop --key ann --reason \"key leaked\" --cut\n"
     "  bursar stop --model 'gpt-5*' --reason \"too dear today\"\n"
     "  bursar stop --list\n\n"
     "New calls are refused from now on (402, with the reason), also after a restart, until `bursar resume`. A name\n"
     "that ends in * stands for all that begin so. Works with and without a running server.\n\n"
     "      --cut           running calls that match end too, and are charged what was used\n" CONFIG_HELP,
     cmd_stop},
    {"resume", "let go on what was stopped, or what is in quarantine",
     "usage: bursar resume --key K | --user U | --team T | --project P | --provider V | --model M | --everything\n"
     "                     --reason TEXT\n\n"
     "The same words as with `bursar stop`. --key K also ends the quarantine of a program that had lost its "
     "way.\n\n" CONFIG_HELP,
     cmd_resume},
    {"breakers", "show breakers of upstreams and of money; open or close one",
     "usage: bursar breakers [--format table|json|csv]\n"
     "       bursar breakers open|close|half-open NAME --reason TEXT [--stay]\n\n"
     "  bursar breakers\n"
     "  bursar breakers close NAME --reason \"the loop is mended\"     NAME as in the list\n\n"
     "      --stay          open a cost breaker until a person closes it, not for its cool-down\n" CONFIG_HELP,
     cmd_breakers},
    {"alerts", "what goes on, who was told; acknowledge, mute, test, preview",
     "usage: bursar alerts [list] [--level info|warning|critical|exceeded] [--provider P] [--since TIME] [-n N]\n"
     "                     [--state active|firing|acknowledged|resolved|all] [--format table|json|csv]\n"
     "       bursar alerts show ID [--format table|json|csv]\n"
     "       bursar alerts ack ID... [--reason TEXT]\n"
     "       bursar alerts resolve ID... [--reason TEXT]\n"
     "       bursar alerts mute WHAT --for 2h|--until TIME --reason TEXT\n"
     "       bursar alerts mutes | unmute ID\n"
     "       bursar alerts test [--channel NAME]\n"
     "       bursar alerts preview [--channel NAME] [--type TYPE | --incident ID] [--html | --json]\n"
     "       bursar alerts channels | enable NAME\n"
     "       bursar alerts retry [ID... | --message ID...]\n\n"
     "  bursar alerts test                                   does every channel reach somebody? If not, why not?\n"
     "  bursar alerts                                        what goes on now; [12] is the number of an incident\n"
     "  bursar alerts show 12                                its history, and who was told when\n"
     "  bursar alerts ack 12                                 I take care of it: stops escalation\n"
     "  bursar alerts mute --budget 'ads-*' --for 2h --reason \"load test\"\n"
     "  bursar alerts preview --type budget.blocked          what people will read, before it happens\n"
     "  bursar alerts preview --channel ops-mail --html > mail.html\n"
     "  bursar alerts retry                                  messages that were given up; with a number: again\n\n"
     "Works with and without a running server; without one, messages that wait are sent by `test` and by the next\n"
     "server. --level shows that level and worse. WHAT is one or more of --budget B, --type T (a trailing * is a\n"
     "prefix), one of --key K, --user U, --team T, --project P, --model M, --provider V, --tag NAME=VALUE; or\n"
     "--everything.\n\n"
     "      --html, --json  of a preview: the mail's HTML as it is sent, or everything\n"
     "      --message       the numbers are those of messages, not of incidents\n" CONFIG_HELP
     "\nexit codes: 0 good (test: every channel works), 1 failed, 2 wrong usage, 69 server does not answer\n",
     cmd_alerts},
    {"verify", "recompute the whole ledger: seals, sums, prices",
     "usage: bursar verify [-c FILE] [--format table|json]\n\n"
     "Checks the chain of seals, that counters equal the sums of their rows, that each row's cost is what its price\n"
     "book says, and the chain of the audit log. Reads only.\n\n" CONFIG_HELP
     "\nexit codes: 0 all equal, 1 something differs\n",
     cmd_verify},
    {"price", "what a call costs",
     "usage: bursar price PROVIDER MODEL --in N --out N [--cached N] [--cache-write N] [--use NAME=N]...\n"
     "                    [--service S] [--at TIME] [--format table|json]\n"
     "       bursar price --jsonl FILE\n\n"
     "  bursar price openai gpt-4o-mini --in 1000 --out 500\n"
     "  bursar price openai whisper-1 --use audio_seconds=12.5\n\n"
     "--in counts all input, cached tokens included; the figure is exact.\n\n"
     "      --use NAME=N    anything else: web_searches, storage_searches, input_audio_tokens, output_image_tokens,\n"
     "                      cache_write_1h_tokens, audio_seconds, input_characters, input_document_pages, ...\n"
     "      --service S     standard, flex, priority or batch\n"
     "      --at TIME       when the call was sent; default now\n"
     "      --jsonl FILE    calls, one JSON object a line (- is standard input): id, provider, model, at, usage with\n"
     "                      names as for --use (input_tokens, output_tokens, cache_read_tokens, ...), service_tier,\n"
     "                      speed, inference_geo. Prints {\"id\":...,\"usd\":\"...\"} for each\n"
     "      --book FILE     a price book other than that of the configuration or the one built in\n" CONFIG_HELP
     "\nexit codes: 0 good, 1 something has no price or could not be read, 2 wrong usage\n",
     cmd_price},
    {"prices", "look at, set and import prices; apply them to past calls",
     "usage: bursar prices show [PROVIDER [MODEL]] [--at DATE] [--format table|json|csv]\n"
     "       bursar prices check\n"
     "       bursar prices set PROVIDER MODEL [--in USD] [--out USD] [--cached USD] [--cache-write USD]\n"
     "                         [--cache-write-1h USD] [--rate UNIT=USD]... [--like MODEL] [--from DATE] [--dry-run]\n"
     "       bursar prices import FILE|URL [--format auto|litellm|models.dev|openrouter|genai|bursar]\n"
     "                         [--provider P] [--sha256 HEX] [--dry-run] [--force] [--output table|json|csv]\n"
     "       bursar prices diff FILE|URL [--format ...] [--provider P] [--output table|json|csv]\n"
     "       bursar prices reprice [--since T] [--until T] [--provider P] [--model M] [--dry-run] [--yes]\n\n"
     "  show      the book with local prices over it; of one model every row, or what holds on a day\n"
     "  set       a price by hand: USD per million tokens, or per unit as in docs/prices.md; --like takes what is\n"
     "            not given from another model\n"
     "  import    a price list of others; what falls by more than half or rises to more than three times is refused\n"
     "            without --force. diff only shows what it would change\n"
     "  reprice   past calls at today's book: shows what changes, then writes corrections that move budgets and\n"
     "            reports. Doing it twice changes nothing\n\n"
     "Local prices stand in prices-local.json in the data folder. A running server takes changes up at "
     "once.\n\n" CONFIG_HELP,
     cmd_prices},
    {"meter", "what recorded calls used, to the token",
     "usage: bursar meter --jsonl FILE [--split N|random]\n\n"
     "Reads recorded exchanges, one JSON object a line, as the proxy reads a call that passes through, and prints one\n"
     "object a line: what the vendor will bill. No configuration, network or key is needed.\n\n"
     "  bursar meter --jsonl calls.jsonl\n"
     "  "
     "{\"id\":\"a\",\"model\":\"gpt-4.1\",\"stream\":false,\"input_tokens\":10,...,\"complete\":true,\"extra\":{}}\n\n"
     "      --jsonl FILE    the exchanges; - is standard input\n"
     "      --split N       feed each answer in pieces of N bytes, or of random sizes; default whole. The result is "
     "the\n"
     "                      same: this is how to see that it is\n\n"
     "Members of a line (all others are ignored): id; provider (openai, anthropic, bedrock, ...; an unknown one is "
     "read\n"
     "as a vendor of OpenAI's shape); method; path (with its query, as sent); request_headers; request_body;\n"
     "response_status; response_headers; response_body, in base64 when \"encoding\" is \"base64\" (coded bodies, AWS\n"
     "event streams, frames of a WebSocket).\n\n"
     "Of the result: input_tokens and output_tokens count all, parts included; null is billed but was not told.\n"
     "complete: these are the vendor's own final figures. extra: what only some APIs tell; other_models in it is "
     "billed\n"
     "besides; records with the same dedupe_key are one bill.\n\n"
     "exit codes: 0 good, 1 a line could not be read (the others were), 2 wrong usage\n",
     cmd_meter},
    {"tokens", "how many tokens a text is",
     "usage: bursar tokens [--model MODEL | --encoding o200k_base|cl100k_base] [--ids] [TEXT | -]\n"
     "       bursar tokens --jsonl FILE [--ids]\n\n"
     "  bursar tokens --model gpt-4o \"How many tokens is this?\"\n"
     "  bursar tokens --encoding cl100k_base - < document.txt\n\n"
     "Exact for OpenAI's models; for others the nearest vocabulary, and a word that it is an estimate. Without TEXT, "
     "or\n"
     "with -, standard input is counted. Text is plain: what looks like a special token is text.\n\n"
     "      --ids           print the tokens too\n"
     "      --jsonl FILE    an object with `id` and `text` on each line, - for standard input; prints one with `id` "
     "and\n"
     "                      the count of each vocabulary for each\n\n"
     "exit codes: 0 counted, 1 a line could not be read, or built without vocabularies\n",
     cmd_tokens},
    {"version", "print the version", "usage: bursar version\n", cmd_version},
};

static void print_commands(FILE *out)
{
	(void)fputs("bursar - a proxy that enforces budgets on metered APIs\n\nusage: bursar COMMAND [OPTIONS]\n\n",
		    out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		(void)fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].summary);
	(void)fputs("\n`bursar COMMAND --help` explains one. Start with `bursar demo`, then `bursar serve`.\n"
		    "Exit codes: 0 good, 1 failed, 2 wrong usage or configuration, 69 server does not answer,\n"
		    "            70 disk trouble, 75 data folder in use, 78 data damaged.\n",
		    out);
}

int cmd_usage_error(const struct cmd *cmd, const char *fmt, ...)
{
	va_list args;

	(void)fprintf(stderr, "bursar %s: ", cmd->name);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
	(void)fprintf(stderr, "\ntry `bursar %s --help`\n", cmd->name);
	return EXIT_USAGE;
}

int cmd_print_help(const struct cmd *cmd)
{
	printf("%s\n\n%s", cmd->summary, cmd->help);
	return EXIT_OK;
}

int cmd_settings(const struct cmd *cmd, const char *path, struct settings **ret)
{
	struct config_error err;

	if (!path)
		path = settings_default_path();
	if (!path)
		return cmd_usage_error(cmd, "no configuration found: name one with --config FILE, or copy "
					    "conf/bursar.yaml to ./bursar.yaml");
	if (settings_load(path, ret, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

int cmd_main(int argc, char **argv)
{
	static char full_name[64];

	(void)umask(077);
	if (argc < 2) {
		print_commands(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		print_commands(stdout);
		return EXIT_OK;
	}
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = (char[]){"version"};
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0) {
			(void)snprintf(full_name, sizeof(full_name), "bursar %s", commands[i].name);
			argv[1] = full_name; /* getopt's messages begin with it */
			return commands[i].run(&commands[i], argc - 1, argv + 1);
		}
	(void)fprintf(stderr, "bursar: there is no command `%s`\n\n", argv[1]);
	print_commands(stderr);
	return EXIT_USAGE;
}
