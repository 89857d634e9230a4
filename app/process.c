#include "app/process.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/log.h"

#define NOFILE_MAX 1048576
#define NOFILE_RESERVED 64 /* ledger, journal, log, listeners, admin */

void process_harden(void)
{
	struct rlimit none = {0, 0};
	char text[128];

	(void)umask(077);
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		log_msg(LOG_WARN, "serve.harden", "core files could not be switched off: %s",
			strerror_r(errno, text, sizeof(text)));
}

/* A call needs two descriptors: client and vendor. */
void process_raise_descriptors(int64_t max_connections)
{
	struct rlimit lim;
	int64_t calls;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	if (lim.rlim_cur < lim.rlim_max && lim.rlim_cur < NOFILE_MAX) {
		lim.rlim_cur = lim.rlim_max < NOFILE_MAX ? lim.rlim_max : NOFILE_MAX;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
		(void)getrlimit(RLIMIT_NOFILE, &lim);
	}
	calls = ((int64_t)lim.rlim_cur - NOFILE_RESERVED) / 2;
	log_msg(LOG_INFO, "serve.limits", "%lld descriptors, enough for %lld calls at once", (long long)lim.rlim_cur,
		(long long)calls);
	if (max_connections > calls)
		log_msg(LOG_WARN, "serve.limits",
			"limits.max_connections is %lld; raise the descriptor limit (ulimit -n)",
			(long long)max_connections);
}
