# tests/rules.mk - test programs and the targets that run them; included by the Makefile.

ASAN_BUILD := build/asan
TSAN_BUILD := build/tsan
FUZZ_BUILD := build/fuzz
ASAN_FLAGS := BUILD=$(ASAN_BUILD) OPT='-O1 -g -fno-omit-frame-pointer' \
              SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all'
TSAN_FLAGS := BUILD=$(TSAN_BUILD) OPT='-O1 -g -fno-omit-frame-pointer' SANITIZE='-fsanitize=thread'
VENV       := build/venv
SDK_NODE   := build/sdk-node
JOBS       ?= $(shell nproc)

# --- the test vendor and the load generator: base and net only --------------------------------------------------
TEST_LIBS   = $(BUILD)/libnet.a $(BUILD)/libbase.a
VENDOR_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/vendor/*.c))
LOAD_OBJ   := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/bench/bench_store.c,$(wildcard tests/bench/*.c)))

$(BUILD)/vendor: $(VENDOR_OBJ) $(TEST_LIBS)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(BUILD)/load: $(LOAD_OBJ) $(TEST_LIBS)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

.PHONY: vendor load
vendor: $(BUILD)/vendor
load: $(BUILD)/load
