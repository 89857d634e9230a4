/* dns.c - a cache and a hosts file in front of libevent's resolver.
 *
 * Equal names asked for at the same time share one look-up (A and AAAA together). A look-up is never cancelled: when
 * its askers have gone, its answer still fills the cache. */
#include "net/dns.h"

#include <event2/dns.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"

#define DNS_MAGIC 0x646e7321u
#define TTL_MIN_S 5
#define TTL_MAX_S 300
#define NEGATIVE_NS (10 * NS_PER_S)
#define FAILURE_NS (1 * NS_PER_S) /* a broken resolver is not asked for the same name more often */
#define STALE_NS (60 * NS_PER_S)
#define HOSTS_CHECK_NS (1 * NS_PER_S)
#define HOSTS_BYTES_MAX (8u << 20)
#define HOSTS_NAMES_MAX 65536
#define HOSTS_ADDRS_MAX 8
#define NAME_BYTES_MAX 253

struct addr_list {
	size_t n;
	struct addr a[DNS_ADDRS_MAX];
};

struct dns_entry {
	TAILQ_ENTRY(dns_entry) lru; /* most recently used first */
	struct dns *dns;
	LIST_HEAD(query_list, dns_query) waiters;
	int outstanding; /* look-ups under way: 0, 1 or 2 */
	/* What is known: */
	int err;
	int64_t expires_ns;
	int64_t stale_until_ns; /* `found` may serve until then when the resolver fails */
	struct addr_list found;
	/* What the look-ups under way have brought so far: */
	struct addr_list v6, v4;
	int ttl_s;
	bool failed, timed_out;
	char name[];
};

struct dns_query {
	LIST_ENTRY(dns_query) entry;
	dns_cb *cb;
	void *ctx;
};

/* One question to libevent; it outlives a dns that is freed meanwhile. */
struct lookup {
	LIST_ENTRY(lookup) entry;
	struct dns_entry *e; /* NULL: nobody is interested any more */
	bool v6;
};

struct hosts_name {
	size_t n;
	struct addr a[HOSTS_ADDRS_MAX];
};

struct dns {
	unsigned magic;
	struct loop *loop;
	struct evdns_base *evdns;
	struct map *cache; /* name to dns_entry */
	TAILQ_HEAD(entry_list, dns_entry) lru;
	LIST_HEAD(lookup_list, lookup) lookups;
	size_t n_pending;

	char *hosts_path;
	struct map *hosts; /* name to hosts_name */
	struct timespec hosts_mtime;
	off_t hosts_bytes;
	int64_t hosts_next_check_ns;
};

/* --- lists of addresses --------------------------------------------------------------------------------------------
 */

static void list_add(struct addr_list *l, const struct addr *a)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->a[i].len == a->len && memcmp(&l->a[i].sa, &a->sa, a->len) == 0)
			return;
	}
	if (l->n < DNS_ADDRS_MAX)
		l->a[l->n++] = *a;
}

/* Alternating, IPv6 first. */
static void list_merge(struct addr_list *ret, const struct addr_list *v6, const struct addr_list *v4)
{
	ret->n = 0;
	for (size_t i = 0; i < v6->n || i < v4->n; i++) {
		if (i < v6->n)
			list_add(ret, &v6->a[i]);
		if (i < v4->n)
			list_add(ret, &v4->a[i]);
	}
}

/* --- hosts file ----------------------------------------------------------------------------------------------------
 */

static void lower(char *s)
{
	for (; *s; s++) {
		if (*s >= 'A' && *s <= 'Z')
			*s |= 0x20;
	}
}

static void hosts_add(struct map *hosts, char *name, const struct addr *a)
{
	struct hosts_name *h;
	struct slice key;

	lower(name);
	key = slice_of(name);
	h = map_get(hosts, key);
	if (!h) {
		h = calloc(1, sizeof(*h));
		if (!h)
			return;
		if (map_put(hosts, key, h) < 0) {
			free(h);
			return;
		}
	}
	if (h->n < HOSTS_ADDRS_MAX)
		h->a[h->n++] = *a;
}

/* The next word, cut out of the line; NULL at its end. */
static char *next_word(char **inout_line)
{
	static const char blanks[] = " \t\r";
	char *word = *inout_line + strspn(*inout_line, blanks), *end = word + strcspn(word, blanks);

	*inout_line = *end ? end + 1 : end;
	*end = '\0';
	return *word ? word : NULL;
}

/* "1.2.3.4 name alias # comment"; modifies the line. */
static void hosts_line(struct map *hosts, char *line)
{
	struct addr a;
	char *word;

	line[strcspn(line, "#")] = '\0';
	word = next_word(&line);
	if (!word || addr_from_ip(word, 0, &a) < 0)
		return;
	for (word = next_word(&line); word; word = next_word(&line)) {
		if (strlen(word) <= NAME_BYTES_MAX)
			hosts_add(hosts, word, &a);
	}
}

/* The whole file, NUL-terminated; NULL when it cannot be read or is too large. */
static char *file_read(const char *path, struct stat *ret_st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	ssize_t r = 0;
	size_t n = 0, size;

	if (fd < 0)
		return NULL;
	if (fstat(fd, ret_st) < 0 || !S_ISREG(ret_st->st_mode) || ret_st->st_size > HOSTS_BYTES_MAX)
		goto out;
	size = (size_t)ret_st->st_size;
	text = malloc(size + 1);
	while (text && n < size) {
		r = read(fd, text + n, size - n);
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	if (text)
		text[n] = '\0';
out:
	(void)close(fd);
	return text;
}

static void hosts_load(struct dns *d)
{
	struct map *hosts = map_new(HOSTS_NAMES_MAX);
	struct stat st = {0};
	char *text = file_read(d->hosts_path, &st), *line, *next;

	if (!hosts)
		goto out;
	for (line = text; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		hosts_line(hosts, line);
	}
	map_free(d->hosts, free);
	d->hosts = hosts;
	d->hosts_mtime = st.st_mtim;
	d->hosts_bytes = st.st_size;
out:
	free(text);
}

static void hosts_refresh(struct dns *d)
{
	int64_t now_ns = loop_mono_ns(d->loop);
	struct stat st = {0};

	if (now_ns < d->hosts_next_check_ns)
		return;
	d->hosts_next_check_ns = now_ns + HOSTS_CHECK_NS;
	(void)stat(d->hosts_path, &st); /* a file that has gone is an empty file */
	if (!d->hosts || st.st_mtim.tv_sec != d->hosts_mtime.tv_sec || st.st_mtim.tv_nsec != d->hosts_mtime.tv_nsec ||
	    st.st_size != d->hosts_bytes)
		hosts_load(d);
}

void dns_set_hosts_file(struct dns *d, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return;
	free(d->hosts_path);
	d->hosts_path = copy;
	d->hosts_next_check_ns = 0;
	map_free(d->hosts, free);
	d->hosts = NULL;
}

/* RFC 6761: these names never leave the host. */
static bool is_localhost(struct slice name)
{
	return slice_eq(name, SLICE("localhost")) || slice_ends(name, SLICE(".localhost"));
}

static bool hosts_find(struct dns *d, const char *name, struct addr_list *ret)
{
	struct addr_list v6 = {0}, v4 = {0};
	const struct hosts_name *h;
	struct addr a;

	hosts_refresh(d);
	h = d->hosts ? map_get(d->hosts, slice_of(name)) : NULL;
	for (size_t i = 0; h && i < h->n; i++)
		list_add(h->a[i].sa.sa_family == AF_INET6 ? &v6 : &v4, &h->a[i]);
	if (!h && is_localhost(slice_of(name))) {
		if (addr_from_ip("::1", 0, &a) == BUR_OK)
			list_add(&v6, &a);
		if (addr_from_ip("127.0.0.1", 0, &a) == BUR_OK)
			list_add(&v4, &a);
	}
	list_merge(ret, &v6, &v4);
	return ret->n > 0;
}

/* --- cache ---------------------------------------------------------------------------------------------------------
 */

static void entry_free(void *p)
{
	struct dns_entry *e = p;
	struct dns_query *q;

	while ((q = LIST_FIRST(&e->waiters)) != NULL) {
		LIST_REMOVE(q, entry);
		free(q);
	}
	free(e);
}

/* Makes room: the least recently used entry that nobody waits for. */
static bool cache_evict(struct dns *d)
{
	struct dns_entry *e;

	TAILQ_FOREACH_REVERSE(e, &d->lru, entry_list, lru)
	{
		if (e->outstanding > 0)
			continue;
		TAILQ_REMOVE(&d->lru, e, lru);
		CHECK(map_remove(d->cache, slice_of(e->name)) == e);
		entry_free(e);
		return true;
	}
	return false;
}

static struct dns_entry *entry_get(struct dns *d, const char *name)
{
	struct dns_entry *e = map_get(d->cache, slice_of(name));
	size_t n = strlen(name);

	if (e) {
		TAILQ_REMOVE(&d->lru, e, lru);
		TAILQ_INSERT_HEAD(&d->lru, e, lru);
		return e;
	}
	if (map_len(d->cache) >= DNS_CACHE_MAX && !cache_evict(d))
		return NULL;
	e = calloc(1, sizeof(*e) + n + 1);
	if (!e)
		return NULL;
	e->dns = d;
	memcpy(e->name, name, n + 1);
	LIST_INIT(&e->waiters);
	if (map_put(d->cache, slice_mem(name, n), e) < 0) {
		free(e);
		return NULL;
	}
	TAILQ_INSERT_HEAD(&d->lru, e, lru);
	return e;
}

/* --- look-ups ------------------------------------------------------------------------------------------------------
 */

static void entry_found(struct dns_entry *e, int64_t now_ns)
{
	int ttl_s = e->ttl_s < TTL_MIN_S ? TTL_MIN_S : e->ttl_s > TTL_MAX_S ? TTL_MAX_S : e->ttl_s;

	list_merge(&e->found, &e->v6, &e->v4);
	e->err = BUR_OK;
	e->expires_ns = now_ns + ttl_s * NS_PER_S;
	e->stale_until_ns = e->expires_ns + STALE_NS;
}

/* Both look-ups have ended: decide what is known now. */
static void entry_conclude(struct dns_entry *e)
{
	int64_t now_ns = loop_mono_ns(e->dns->loop);

	if (e->v6.n + e->v4.n > 0) {
		entry_found(e, now_ns);
	} else if (!e->failed) {
		e->found.n = 0;
		e->err = BUR_NOTFOUND;
		e->expires_ns = now_ns + NEGATIVE_NS;
	} else if (e->found.n > 0 && now_ns < e->stale_until_ns) {
		e->err = BUR_OK; /* yesterday's answer beats none */
		e->expires_ns = now_ns + TTL_MIN_S * NS_PER_S;
		if (e->expires_ns > e->stale_until_ns)
			e->expires_ns = e->stale_until_ns;
		log_limited(LOG_WARN, "net.dns", "the resolver fails, using an old answer for %s", e->name);
	} else {
		e->found.n = 0;
		e->err = e->timed_out ? BUR_TIMEOUT : BUR_IO;
		e->expires_ns = now_ns + FAILURE_NS;
	}
}

/* Askers may ask again, cancel each other, or cause this entry to be evicted: nothing of it is touched afterwards. */
static void entry_answer(struct dns_entry *e)
{
	struct query_list waiters = LIST_HEAD_INITIALIZER(waiters);
	struct addr_list found = e->found;
	struct dns_query *q, copy;
	int err = e->err;

	q = LIST_FIRST(&e->waiters);
	if (!q)
		return;
	LIST_INIT(&e->waiters);
	waiters.lh_first = q;
	q->entry.le_prev = &waiters.lh_first;
	while ((q = LIST_FIRST(&waiters)) != NULL) {
		copy = *q;
		LIST_REMOVE(q, entry);
		free(q);
		copy.cb(copy.ctx, err, found.a, found.n);
	}
}

static void lookup_ended(struct dns_entry *e)
{
	CHECK(e->outstanding > 0);
	if (--e->outstanding > 0)
		return;
	e->dns->n_pending--;
	entry_conclude(e);
	entry_answer(e);
}

static void add_answers(struct dns_entry *e, char type, int count, int ttl_s, const void *addresses)
{
	const uint8_t *ip = addresses;
	struct addr a;

	if (ttl_s < e->ttl_s)
		e->ttl_s = ttl_s;
	for (int i = 0; i < count; i++) {
		memset(&a, 0, sizeof(a));
		if (type == DNS_IPv6_AAAA) {
			a.len = sizeof(a.in6);
			a.in6.sin6_family = AF_INET6;
			memcpy(&a.in6.sin6_addr, ip + 16 * i, 16);
			list_add(&e->v6, &a);
		} else {
			a.len = sizeof(a.in);
			a.in.sin_family = AF_INET;
			memcpy(&a.in.sin_addr, ip + 4 * i, 4);
			list_add(&e->v4, &a);
		}
	}
}

static void lookup_cb(int result, char type, int count, int ttl_s, void *addresses, void *arg)
{
	struct lookup *l = arg;
	struct dns_entry *e = l->e;
	bool v6 = l->v6;

	if (e)
		LIST_REMOVE(l, entry);
	free(l);
	if (!e)
		return;
	if (result == DNS_ERR_NONE && type == (v6 ? DNS_IPv6_AAAA : DNS_IPv4_A) && count > 0) {
		add_answers(e, type, count, ttl_s, addresses);
	} else if (result != DNS_ERR_NONE && result != DNS_ERR_NOTEXIST && result != DNS_ERR_NODATA) {
		e->failed = true;
		e->timed_out |= result == DNS_ERR_TIMEOUT;
	}
	lookup_ended(e);
}

/* The callback is never called before libevent's next turn. */
static bool lookup_start(struct dns_entry *e, bool v6)
{
	/* The search list is for names of one label; others are taken as they are written. */
	int flags = strchr(e->name, '.') ? DNS_QUERY_NO_SEARCH : 0;
	struct lookup *l = malloc(sizeof(*l));
	struct evdns_request *request;

	if (!l)
		return false;
	*l = (struct lookup){.e = e, .v6 = v6};
	request = v6 ? evdns_base_resolve_ipv6(e->dns->evdns, e->name, flags, lookup_cb, l)
		     : evdns_base_resolve_ipv4(e->dns->evdns, e->name, flags, lookup_cb, l);
	if (!request) {
		free(l);
		return false;
	}
	LIST_INSERT_HEAD(&e->dns->lookups, l, entry);
	return true;
}

/* false: nothing could be asked. */
static bool entry_ask(struct dns_entry *e)
{
	bool v6, v4;

	e->v6.n = e->v4.n = 0;
	e->ttl_s = TTL_MAX_S;
	e->failed = e->timed_out = false;
	v6 = lookup_start(e, true);
	v4 = lookup_start(e, false);
	e->outstanding = (v6 ? 1 : 0) + (v4 ? 1 : 0);
	e->failed = !v6 || !v4;
	if (e->outstanding == 0)
		return false;
	e->dns->n_pending++;
	return true;
}

/* --- asking --------------------------------------------------------------------------------------------------------
 */

/* Lower case, without a trailing dot. */
static bool name_normalise(const char *host, char dst[NAME_BYTES_MAX + 1])
{
	size_t n = strlen(host);

	if (n > 1 && host[n - 1] == '.')
		n--;
	if (n == 0 || n > NAME_BYTES_MAX)
		return false;
	memcpy(dst, host, n);
	dst[n] = '\0';
	lower(dst);
	return true;
}

/* What can be answered at once. */
static bool answer_now(struct dns *d, const char *host, const char *name, int *ret_err, struct addr_list *ret)
{
	struct dns_entry *e;
	struct addr literal;

	ret->n = 0;
	*ret_err = BUR_OK;
	if (addr_from_ip(host, 0, &literal) == BUR_OK) {
		list_add(ret, &literal);
		return true;
	}
	if (hosts_find(d, name, ret))
		return true;
	e = map_get(d->cache, slice_of(name));
	if (!e || e->outstanding > 0 || loop_mono_ns(d->loop) >= e->expires_ns)
		return false;
	*ret_err = e->err;
	*ret = e->found;
	(void)entry_get(d, name); /* now the most recently used */
	return true;
}

static struct dns_query *query_start(struct dns *d, const char *name, dns_cb *cb, void *ctx)
{
	struct dns_entry *e = entry_get(d, name);
	struct dns_query *q;

	if (!e)
		return NULL;
	q = malloc(sizeof(*q));
	if (!q)
		return NULL;
	*q = (struct dns_query){.cb = cb, .ctx = ctx};
	if (e->outstanding == 0 && (d->n_pending >= DNS_PENDING_MAX || !entry_ask(e))) {
		free(q);
		return NULL;
	}
	LIST_INSERT_HEAD(&e->waiters, q, entry);
	return q;
}

struct dns_query *dns_resolve(struct dns *d, const char *host, dns_cb *cb, void *ctx)
{
	char name[NAME_BYTES_MAX + 1];
	struct addr_list found;
	struct dns_query *q;
	int err;

	CHECK(d->magic == DNS_MAGIC);
	if (!name_normalise(host, name)) {
		cb(ctx, BUR_NOTFOUND, NULL, 0);
		return NULL;
	}
	if (answer_now(d, host, name, &err, &found)) {
		cb(ctx, err, found.a, found.n);
		return NULL;
	}
	q = query_start(d, name, cb, ctx);
	if (!q)
		cb(ctx, BUR_IO, NULL, 0);
	return q;
}

void dns_cancel(struct dns_query *q)
{
	if (!q)
		return;
	LIST_REMOVE(q, entry);
	free(q);
}

/* --- life ----------------------------------------------------------------------------------------------------------
 */

static bool servers_set(struct dns *d, const char *const *servers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (evdns_base_nameserver_ip_add(d->evdns, servers[i]) != 0)
			return false;
	}
	if (n == 0)
		(void)evdns_base_resolv_conf_parse(
		    d->evdns, DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC, "/etc/resolv.conf");
	if (evdns_base_count_nameservers(d->evdns) == 0 && evdns_base_nameserver_ip_add(d->evdns, "127.0.0.1") != 0)
		return false;
	return evdns_base_set_option(d->evdns, "timeout", "2") == 0 &&
	       evdns_base_set_option(d->evdns, "attempts", "3") == 0 &&
	       evdns_base_set_option(d->evdns, "max-inflight", "256") == 0;
}

/* libevent would write to stderr. */
static void resolver_log(int is_warning, const char *text)
{
	if (is_warning)
		log_limited(LOG_WARN, "net.dns", "%s", text);
}

static void resolver_log_set(void)
{
	evdns_set_log_fn(resolver_log);
}

struct dns *dns_new(struct loop *loop, const char *const *servers, size_t n_servers)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct dns *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	CHECK(pthread_once(&once, resolver_log_set) == 0);
	d->magic = DNS_MAGIC;
	d->loop = loop;
	TAILQ_INIT(&d->lru);
	LIST_INIT(&d->lookups);
	d->hosts_path = strdup("/etc/hosts");
	d->cache = map_new(DNS_CACHE_MAX);
	d->evdns = evdns_base_new(loop_base(loop), 0);
	if (!d->hosts_path || !d->cache || !d->evdns || !servers_set(d, servers, n_servers)) {
		dns_free(d);
		return NULL;
	}
	hosts_refresh(d);
	return d;
}

void dns_free(struct dns *d)
{
	struct lookup *l;

	if (!d)
		return;
	CHECK_OBJ(d, DNS_MAGIC);
	while ((l = LIST_FIRST(&d->lookups)) != NULL) { /* freed by their callback, which is still to come */
		LIST_REMOVE(l, entry);
		l->e = NULL;
	}
	if (d->evdns)
		evdns_base_free(d->evdns, 1);
	map_free(d->cache, entry_free);
	map_free(d->hosts, free);
	free(d->hosts_path);
	d->magic = 0;
	free(d);
}
