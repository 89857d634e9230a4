/* certs.h - a throw-away certificate authority and a leaf for the test vendor. */
#ifndef VENDOR_CERTS_H
#define VENDOR_CERTS_H

#include "base/attr.h"

enum leaf_kind { LEAF_GOOD, LEAF_EXPIRED, LEAF_WRONG_HOST, LEAF_SELF_SIGNED };

/* Writes DIR/ca.pem, DIR/leaf.pem (leaf, then CA) and DIR/leaf.key. BUR_OK, BUR_CRYPTO, BUR_IO. */
int certs_write(const char *dir, enum leaf_kind) NONNULL(1) MUST_USE;

#endif
