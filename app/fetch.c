#include "app/fetch.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/files.h"
#include "base/error.h"
#include "price/import.h"

static size_t on_data(char *p, size_t size, size_t n, void *ctx)
{
	struct fetched *f = ctx;
	char *mem;

	(void)size; /* 1 */
	if (n > IMPORT_BYTES_MAX - f->n)
		return 0;
	mem = realloc(f->mem, f->n + n + 1);
	if (!mem)
		return 0;
	memcpy(mem + f->n, p, n);
	f->mem = mem;
	f->n += n;
	f->mem[f->n] = '\0';
	return n;
}

static bool set_options(CURL *c, const char *url, struct fetched *f)
{
	return curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "https") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_MAXREDIRS, 5L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 20L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TIMEOUT, 120L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEDATA, f) == CURLE_OK;
}

static int fetch(const char *url, struct fetched *f, char *err, size_t size)
{
	char why[CURL_ERROR_SIZE] = "";
	CURL *c = curl_easy_init();
	CURLcode rc = CURLE_FAILED_INIT;

	if (c && set_options(c, url, f) && curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why) == CURLE_OK)
		rc = curl_easy_perform(c);
	curl_easy_cleanup(c);
	if (rc == CURLE_OK && f->mem)
		return BUR_OK;
	(void)snprintf(err, size, "cannot fetch %.300s: %s", url,
		       rc == CURLE_WRITE_ERROR ? "it is larger than 16 MB"
		       : why[0]                ? why
					       : curl_easy_strerror(rc));
	return BUR_IO;
}

static bool sha256_is(const struct fetched *f, const char *hex)
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	char text[2 * EVP_MAX_MD_SIZE + 1];
	unsigned n = 0;

	if (EVP_Digest(f->mem, f->n, hash, &n, EVP_sha256(), NULL) != 1)
		return false;
	hex_encode(hash, n, text);
	return slice_ieq(slice_of(text), slice_of(hex));
}

int fetch_list(const char *from, const char *sha256, struct fetched *f, char *err, size_t size)
{
	int r;

	if (strncmp(from, "https://", 8) == 0) {
		r = fetch(from, f, err, size);
	} else if (strstr(from, "://")) {
		(void)snprintf(err, size, "%.300s: only https:// and files are read", from);
		return BUR_INVALID;
	} else {
		r = files_read(from, IMPORT_BYTES_MAX, &f->mem, &f->n);
		if (r < 0)
			(void)snprintf(err, size, "cannot read %.300s: %s", from,
				       r == BUR_TOOBIG ? "it is larger than 16 MB" : bur_strerror(r));
	}
	if (r == BUR_OK && sha256 && !sha256_is(f, sha256)) {
		(void)snprintf(err, size, "its SHA-256 is another one than --sha256 says; nothing was read");
		r = BUR_CORRUPT;
	}
	return r;
}
