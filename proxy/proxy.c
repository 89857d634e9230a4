#include "proxy/proxy.h"

#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/ca.h"
#include "proxy/client.h"
#include "proxy/once.h"
#include "proxy/pacing.h"
#include "proxy/uploads.h"
#include "proxy/worker.h"

static int tls_contexts(struct proxy *p, char *err, size_t err_size)
{
	struct tls_client_options o = {.alpn = "http/1.1"};

	p->provider_tls = calloc(p->config.n_providers + 1, sizeof(SSL_CTX *));
	if (!p->provider_tls)
		return BUR_NOMEM;
	p->default_tls = tls_client_ctx(&o, err, err_size);
	if (!p->default_tls)
		return BUR_CRYPTO;
	for (size_t i = 0; i < p->config.n_providers; i++) {
		o.roots_of = p->default_tls;
		o.extra_ca_file = p->config.providers[i].extra_ca_file;
		p->provider_tls[i] = tls_client_ctx(&o, err, err_size);
		if (!p->provider_tls[i])
			return BUR_CRYPTO;
	}
	if (p->config.tls_cert_file) {
		p->server_tls =
		    tls_server_ctx(p->config.tls_cert_file, p->config.tls_key_file, "http/1.1", err, err_size);
		if (!p->server_tls)
			return BUR_CRYPTO;
	}
	return BUR_OK;
}

static int bind_listeners(struct proxy *p, char *err, size_t err_size)
{
	for (size_t i = 0; i < p->config.n_listen; i++) {
		int r = listen_open(p->config.listen[i], &p->fds[i], &p->addresses[i]);

		if (r < 0) {
			(void)snprintf(err, err_size, "cannot listen on %s: %s", p->config.listen[i],
				       r == BUR_BUSY ? "the address is in use by another program" : bur_strerror(r));
			p->fds[i] = -1;
			return r;
		}
	}
	/* a request must not come back to us, neither here nor to the admin side */
	for (size_t i = 0; i < p->config.dial.n_deny; i++)
		p->addresses[p->config.n_listen + i] = p->config.dial.deny[i];
	p->config.dial.deny = p->addresses;
	p->config.dial.n_deny += p->config.n_listen;
	return BUR_OK;
}

static int make_via(struct proxy *p)
{
	uint8_t id[4];
	char hex[9];

	if (RAND_bytes(id, sizeof(id)) != 1)
		return BUR_CRYPTO;
	hex_encode(id, sizeof(id), hex);
	(void)snprintf(p->via, sizeof(p->via), "1.1 bursar-%s", hex);
	return BUR_OK;
}

/* Only where some vendor is said to bill repeats once. */
static int make_once(struct proxy *p)
{
	for (size_t i = 0; i < p->config.n_providers && !p->once; i++)
		if (p->config.providers[i].bills_once_by && !(p->once = once_new()))
			return BUR_NOMEM;
	return BUR_OK;
}

static int build(struct proxy *p, char *err, size_t err_size)
{
	int r = make_via(p);

	if (r == BUR_OK)
		r = make_once(p);

	if (r == BUR_OK)
		r = census_init(&p->census, (size_t)p->config.limits.max_connections,
				(size_t)p->config.limits.max_connections_per_address);
	if (r == BUR_OK)
		r = tls_contexts(p, err, err_size);
	if (r == BUR_OK && p->deps.ca)
		client_check_sni(ca_server_ctx(p->deps.ca));
	if (r == BUR_OK)
		r = bind_listeners(p, err, err_size);
	for (uint32_t i = 0; i < p->config.workers && r == BUR_OK; i++)
		r = worker_init(&p->workers[i], p, i);
	return r;
}

int proxy_new(const struct proxy_config *cfg, const struct proxy_deps *deps, struct proxy **ret, char *err,
	      size_t err_size)
{
	struct proxy *p;
	int r;

	(void)snprintf(err, err_size, "out of memory");
	if (cfg->n_listen == 0 || cfg->n_listen > LISTEN_MAX || cfg->workers == 0) {
		(void)snprintf(err, err_size, "between 1 and %d listeners and at least one worker are needed",
			       LISTEN_MAX);
		return BUR_INVALID;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return BUR_NOMEM;
	p->config = *cfg;
	p->deps = *deps;
	pthread_mutex_init(&p->snapshots_lock, NULL);
	cut_init(&p->cutting);
	p->next_principals = principal_dir_ref(deps->principals);
	p->next_book = price_book_ref(deps->book);
	p->next_stops = stop_set_ref(deps->stops);
	for (size_t i = 0; i < LISTEN_MAX; i++)
		p->fds[i] = -1;
	p->addresses = calloc(cfg->n_listen + cfg->dial.n_deny, sizeof(*p->addresses));
	p->workers = calloc(cfg->workers, sizeof(*p->workers));
	p->uploads = uploads_new(UPLOADS_MAX, UPLOADS_BYTES_MAX);
	p->pacing = pacing_table_new();
	r = p->addresses && p->workers && p->uploads && p->pacing ? build(p, err, err_size) : BUR_NOMEM;
	if (r < 0) {
		proxy_free(p);
		return r;
	}
	worker_metrics_register();
	*ret = p;
	return BUR_OK;
}

int proxy_start(struct proxy *p)
{
	sigset_t all, old;
	int r = BUR_OK;

	/* signals are the control thread's business */
	sigfillset(&all);
	sigdelset(&all, SIGBUS); /* of the store's map: while it is blocked, its handler never runs */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (uint32_t i = 0; i < p->config.workers && r == BUR_OK; i++) {
		struct worker *w = &p->workers[i];

		w->started = pthread_create(&w->thread, NULL, worker_main, w) == 0;
		r = w->started ? BUR_OK : BUR_NOMEM;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

const struct addr *proxy_address(const struct proxy *p, size_t listener)
{
	return listener < p->config.n_listen ? &p->addresses[listener] : NULL;
}

static void wake_all(struct proxy *p)
{
	for (uint32_t i = 0; i < p->config.workers; i++)
		if (p->workers[i].started)
			loop_wake(p->workers[i].loop);
}

void proxy_set_principals(struct proxy *p, struct principal_dir *dir)
{
	struct principal_dir *old;

	pthread_mutex_lock(&p->snapshots_lock);
	old = p->next_principals;
	p->next_principals = principal_dir_ref(dir);
	pthread_mutex_unlock(&p->snapshots_lock);
	principal_dir_unref(old);
	wake_all(p);
}

void proxy_set_book(struct proxy *p, struct price_book *book)
{
	struct price_book *old;

	pthread_mutex_lock(&p->snapshots_lock);
	old = p->next_book;
	p->next_book = price_book_ref(book);
	pthread_mutex_unlock(&p->snapshots_lock);
	price_book_unref(old);
	wake_all(p);
}

void proxy_set_stops(struct proxy *p, struct stop_set *stops, bool cut)
{
	struct stop_set *old;

	pthread_mutex_lock(&p->snapshots_lock);
	old = p->next_stops;
	p->next_stops = stop_set_ref(stops);
	p->cut_round += cut;
	pthread_mutex_unlock(&p->snapshots_lock);
	stop_set_unref(old);
	wake_all(p);
}

void proxy_drain(struct proxy *p)
{
	atomic_store(&p->draining, true);
	wake_all(p);
	for (size_t i = 0; i < p->config.n_listen; i++) {
		if (p->fds[i] >= 0)
			(void)close(p->fds[i]);
		p->fds[i] = -1;
	}
}

size_t proxy_active(const struct proxy *p)
{
	size_t n = 0;

	for (uint32_t i = 0; i < p->config.workers; i++)
		n += atomic_load(&p->workers[i].n_txns);
	return n;
}

void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	atomic_store(&p->draining, true);
	atomic_store(&p->ending, true);
	wake_all(p);
	for (uint32_t i = 0; p->workers && i < p->config.workers; i++)
		if (p->workers[i].started)
			(void)pthread_join(p->workers[i].thread, NULL);
	for (uint32_t i = 0; p->workers && i < p->config.workers; i++)
		if (p->workers[i].magic == WORKER_MAGIC)
			worker_done(&p->workers[i]);
	for (size_t i = 0; i < LISTEN_MAX; i++)
		if (p->fds[i] >= 0)
			(void)close(p->fds[i]);
	for (size_t i = 0; p->provider_tls && i < p->config.n_providers; i++)
		SSL_CTX_free(p->provider_tls[i]);
	SSL_CTX_free(p->default_tls);
	SSL_CTX_free(p->server_tls);
	free(p->provider_tls);
	principal_dir_unref(p->next_principals);
	price_book_unref(p->next_book);
	stop_set_unref(p->next_stops);
	uploads_free(p->uploads);
	once_free(p->once);
	cut_done(&p->cutting);
	pacing_table_free(p->pacing);
	census_done(&p->census);
	pthread_mutex_destroy(&p->snapshots_lock);
	free(p->workers);
	free(p->addresses);
	bytes_wipe(&p->config.fingerprint_secret, sizeof(p->config.fingerprint_secret));
	free(p);
}

void proxy_counts(const struct proxy *p, struct proxy_counts *ret)
{
	*ret = (struct proxy_counts){.connections = atomic_load(&p->n_connections)};
	for (uint32_t i = 0; i < p->config.workers; i++) {
		ret->active_connections += atomic_load(&p->workers[i].n_clients);
		ret->active_calls += atomic_load(&p->workers[i].n_txns);
		ret->pooled += pool_len(p->workers[i].pool);
		ret->draining_streams += atomic_load(&p->workers[i].n_drains);
	}
}
