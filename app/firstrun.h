/* firstrun.h - the keys of a fresh installation: one for calls, one for the command line on this machine. */
#ifndef APP_FIRSTRUN_H
#define APP_FIRSTRUN_H

#include "app/boot.h"

#define ADMIN_TOKEN_FILE "admin.token"
#define FIRST_KEY_FILE "first.key"

/* No key at all: makes the virtual key `first`, shown once on a terminal, else written to DATA/first.key (a log is no
 * place for it). No administrator's key: makes `admin`, its text in DATA/admin.token (0600). Before store_start. */
int firstrun_keys(struct store *, const char *data_dir, char reterr[BOOT_ERROR_MAX]) NONNULL(1, 2, 3) MUST_USE;

#endif
