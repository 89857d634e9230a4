/* meter_jansson.h - jansson beside base/json.h, for tests: four of their constants have the same names. Include it
 * before anything of the project. */
#ifndef METER_JANSSON_H
#define METER_JANSSON_H

#define JSON_STRING TOKEN_STRING
#define JSON_TRUE TOKEN_TRUE
#define JSON_FALSE TOKEN_FALSE
#define JSON_NULL TOKEN_NULL
#include "base/json.h"
#undef JSON_STRING
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL
#include <jansson.h>

#endif
