# tests/rules.mk - test programs and the targets that run them; included by the Makefile.

ASAN_BUILD := build/asan
TSAN_BUILD := build/tsan
FUZZ_BUILD := build/fuzz
VENV       := build/venv
SDK_NODE   := build/sdk-node
ALERTS_NODE := build/alerts-node
JOBS       ?= $(shell nproc)

SAN_OPT    := OPT='-O1 -g -fno-omit-frame-pointer'
ASAN       := BUILD=$(ASAN_BUILD) $(SAN_OPT) SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all'
TSAN       := BUILD=$(TSAN_BUILD) $(SAN_OPT) SANITIZE='-fsanitize=thread'
# Unit tests with threads in them, or in what they test (mails), run once more under ThreadSanitizer.
TSAN_TESTS ?= $(patsubst tests/unit/%.c,%,$(shell grep -lE "pthread_create|transport_new|deliver_new" tests/unit/*_test.c 2>/dev/null))

# --- the test vendor and the load generator: base and net only --------------------------------------------------
TEST_LIBS   = $(BUILD)/libnet.a $(BUILD)/libbase.a
VENDOR_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/vendor/*.c))
LOAD_OBJ   := $(addprefix $(BUILD)/tests/bench/,load.o client.o histogram.o)

$(BUILD)/vendor: $(VENDOR_OBJ) $(TEST_LIBS)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(BUILD)/load: $(LOAD_OBJ) $(TEST_LIBS)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

.PHONY: vendor load unit-tests
vendor: $(BUILD)/vendor  ## the test vendor: real answer shapes, scripted faults, a bill of its own
load: $(BUILD)/load  ## the load generator
unit-tests: $(UNIT_TESTS)
# Unit tests that need more than their room does.
$(BUILD)/tests/unit/meter_decode_test $(BUILD)/tests/unit/meter_tap_framing_test: LDLIBS += -lbrotlienc

# Tests that make calls of the C library fail: every call that faults.h knows is bent to it.
FAULT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(shell grep -l '"tests/unit/faults.h"' tests/unit/*_test.c))
$(FAULT_TESTS): LDLIBS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=strdup,--wrap=open
$(FAULT_TESTS): LDLIBS += -Wl,--wrap=read,--wrap=pread,--wrap=pwrite,--wrap=fstat,--wrap=fsync,--wrap=msync
$(FAULT_TESTS): LDLIBS += -Wl,--wrap=rename,--wrap=posix_fallocate,--wrap=mmap,--wrap=regcomp

# --- tools that come from package registries --------------------------------------------------------------------
$(VENV)/ready: tests/requirements.txt
	@rm -rf $(VENV)
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt
	@touch $@

$(SDK_NODE)/ready: tests/sdk/package.json tests/sdk/package-lock.json
	@mkdir -p $(SDK_NODE)
	cp tests/sdk/package.json tests/sdk/package-lock.json $(SDK_NODE)
	cd $(SDK_NODE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# What receivers of alerts are made of: verifiers, validators, servers.
$(ALERTS_NODE)/ready: tests/alerts/package.json tests/alerts/package-lock.json
	@mkdir -p $(ALERTS_NODE)
	cp tests/alerts/package.json tests/alerts/package-lock.json $(ALERTS_NODE)
	cd $(ALERTS_NODE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
.PHONY: alerts-node
alerts-node: $(ALERTS_NODE)/ready

.PHONY: screenshots
screenshots: programs $(VENV)/ready  ## the pictures of messages in docs/img, of what `bursar alerts preview` says
	BURSAR_BUILD=$(BUILD) $(VENV)/bin/python tests/alerts/screenshots.py

.PHONY: install-test
install-test:
	@tools/install.sh test

# --- programs ---------------------------------------------------------------------------------------------------
.PHONY: programs asan tsan
programs: install-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(BUILD)/bursar $(BUILD)/vendor $(BUILD)/load
asan: install-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(ASAN) $(ASAN_BUILD)/bursar $(ASAN_BUILD)/vendor unit-tests
tsan: install-test
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(TSAN) $(addprefix $(TSAN_BUILD)/tests/unit/,$(TSAN_TESTS))

# --- tests ------------------------------------------------------------------------------------------------------
.PHONY: test unit-asan e2e sdk crash soak check fuzz bench callgrind
test: programs $(BUILD)/tests/unit/policy_engine_oracle_test asan tsan $(VENV)/ready $(SDK_NODE)/ready $(ALERTS_NODE)/ready  ## everything: unit, end to end, SDKs, 200 kills; counts at the end
	@python3 tests/run.py --all --tsan "$(TSAN_TESTS)"

unit-asan: asan  ## unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@python3 tests/run.py --unit

e2e: programs $(VENV)/ready  ## end-to-end tests; T="-k name" chooses
	$(VENV)/bin/pytest -c tests/pytest.ini tests/e2e -m "not soak" $(T)

sdk: programs $(VENV)/ready $(SDK_NODE)/ready  ## the vendors' own SDKs, curl and a coding agent
	$(VENV)/bin/pytest -c tests/pytest.ini tests/sdk $(T)

crash: programs $(VENV)/ready  ## KILLS=200 times kill -9 under load, then bill against ledger
	$(VENV)/bin/pytest -c tests/pytest.ini tests/e2e/test_crash.py -m "not soak" -s $(T)

soak: programs $(VENV)/ready  ## SOAK_KILLS=2000 times kill -9 under load
	$(VENV)/bin/pytest -c tests/pytest.ini tests/e2e/test_crash.py -m soak -s

.PHONY: leak
leak: programs $(VENV)/ready  ## MINUTES=30 of mixed load with resets on both sides: then nothing held, no slot, descriptor or memory more
	LEAK_MINUTES=$(or $(MINUTES),30) $(VENV)/bin/pytest -c tests/pytest.ini tests/e2e/test_leak.py -s $(T)

.PHONY: zones
zones: install-test  ## every day 1970-2100 and every change of the clock in every time zone, against Python's zoneinfo
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(BUILD)/tests/unit/base_calendar_test
	@python3 tests/unit/base_calendar_zones.py $(BUILD)/tests/unit/base_calendar_test all

# The rooms that promise something about money: nothing of them is left untried.
COVERAGE_BUILD := build/coverage
COVERAGE_TESTS  = $(filter $(patsubst %,$(BUILD)/tests/unit/%_test,base_calendar% policy_% price_% store_journal% store_recover store_store), \
                    $(UNIT_TESTS))
.PHONY: coverage coverage-tests
coverage-tests: $(COVERAGE_TESTS)
coverage: install-test $(BUILD)/prices.json  ## lines and branches of engine, windows, prices and journal that no unit test takes
	@$(MAKE) --no-print-directory -s -j$(JOBS) BUILD=$(COVERAGE_BUILD) WARN=-w OPT='-O0 -g' \
	    SANITIZE='--coverage -fprofile-update=atomic' coverage-tests
	@python3 tests/coverage.py $(COVERAGE_BUILD)

# --- gates ------------------------------------------------------------------------------------------------------
C_FILES = $(foreach d,$(ROOMS) tests/unit tests/vendor tests/bench tests/fuzz,$(wildcard $(d)/*.c $(d)/*.h))

# cppcheck reads no system headers, but must know the list macros.
QUEUE_H = $(firstword $(wildcard /usr/include/sys/queue.h /usr/include/*/sys/queue.h))

check: install-test  ## format, include directions, banned calls, static analysis, gcc and clang with -Werror
	@clang-format --dry-run -Werror $(C_FILES)
	@tools/check-includes.sh $(ROOMS)
	@tools/check-calls.sh $(foreach r,$(ROOMS),$(wildcard $(r)/*.c $(r)/*.h))
	@cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,portability,performance \
	    --suppressions-list=tests/cppcheck.txt -D_GNU_SOURCE -I. --include=$(QUEUE_H) --include=tests/cppcheck.h -j$(JOBS) $(ROOMS)
	@$(MAKE) --no-print-directory -s -j$(JOBS) BUILD=build/clang CC=clang OPT='-O1 -g' build/clang/bursar build/clang/vendor build/clang/load unit-tests
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(BUILD)/bursar
	@echo "check: all well"

# --- fuzzers ----------------------------------------------------------------------------------------------------
FUZZ_SECONDS ?= 60
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_ROOMS := alerts proxy net meter tokens price policy store base

# Only when built for fuzzing: every fuzzer may use every room below the application.
ifneq ($(FUZZING),)
$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(foreach r,$(FUZZ_ROOMS),$(BUILD)/lib$(r).a)
	$(CC) -fsanitize=fuzzer $(SANITIZE) $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDLIBS) -o $@
fuzzers: $(addprefix $(BUILD)/,$(FUZZERS))
.PHONY: fuzzers
endif

fuzz: install-test  ## every tests/fuzz/fuzz_*.c for FUZZ_SECONDS=60 each
	@$(MAKE) --no-print-directory -s -j$(JOBS) FUZZING=1 BUILD=$(FUZZ_BUILD) CC=clang OPT='-O1 -g -fno-omit-frame-pointer' \
	    WARN='-Wall -Wextra' SANITIZE='$(FUZZ_SAN) -fsanitize=fuzzer-no-link' fuzzers
	@tests/fuzz.sh $(FUZZ_BUILD) $(FUZZ_SECONDS) $(FUZZERS)

# --- measuring --------------------------------------------------------------------------------------------------
bench: programs  ## bursar beside nginx in one run, and the goals; BENCH_QUICK=1 for two minutes
	@python3 tests/bench/bench.py

# Beside the tokenizers of npm, in the same run.
BENCH_TOKENS := build/bench-tokens
$(BENCH_TOKENS)/ready: tests/bench/tokens/package.json tests/bench/tokens/package-lock.json
	@mkdir -p $(BENCH_TOKENS)
	cp tests/bench/tokens/package.json tests/bench/tokens/package-lock.json $(BENCH_TOKENS)
	cd $(BENCH_TOKENS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
$(BENCH_TOKENS)/corpus.txt: tests/bench/tokens/corpus.py $(BENCH_TOKENS)/ready
	@python3 $< $@
$(BUILD)/token-speed: $(BUILD)/tests/bench/tokens/speed.o $(BUILD)/libtokens.a $(BUILD)/libbase.a
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

.PHONY: bench-tokens
bench-tokens: install-test $(BENCH_TOKENS)/corpus.txt $(BUILD)/token-speed  ## counting tokens: MB/s beside npm tiktoken and gpt-tokenizer
	@python3 tests/bench/tokens/bench.py $(BUILD)/token-speed $(BENCH_TOKENS)

TOKEN_TEXTS ?= 1000000
.PHONY: tokens-property
tokens-property: install-test $(BENCH_TOKENS)/ready $(BUILD)/bursar $(BUILD)/tests/unit/tokens_count_test  ## TOKEN_TEXTS=1000000 random texts against plain merging, and a tenth against npm tiktoken
	@BURSAR_TOKEN_RANDOM=$(TOKEN_TEXTS) $(BUILD)/tests/unit/tokens_count_test
	@python3 tests/bench/tokens/bench.py check $(BUILD)/bursar $(BENCH_TOKENS) $$(($(TOKEN_TEXTS) / 10))

# The meter room alone.
$(BUILD)/meter-speed: $(BUILD)/tests/bench/meter.o $(call room_libs,meter)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

.PHONY: bench-meter bench-tail
bench-meter: install-test  ## ns and instructions for a chunk of a stream, MB/s of the request scanner
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(BUILD)/meter-speed
	@python3 tests/bench/meter.py $(BUILD)/meter-speed

bench-tail: programs  ## latency of small calls beside 1 MB prompts on the same worker
	@python3 tests/bench/tail.py

# The budget engine alone.
$(BUILD)/engine-speed: $(BUILD)/tests/bench/engine.o $(call room_libs,policy)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

.PHONY: bench-engine
bench-engine: install-test  ## reserve and settle pairs a second over six budgets, how long the lock is held, bytes for a counter
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(BUILD)/engine-speed
	@$(BUILD)/engine-speed

OPS ?= 10000000
.PHONY: oracle
oracle: install-test $(BUILD)/tests/unit/policy_engine_oracle_test  ## OPS=10000000 random operations, engine against model; SEED=n, TRACE=text run one again
	@BURSAR_ORACLE_OPS=$(OPS) BURSAR_ORACLE_SEED=$(SEED) BURSAR_ORACLE_TRACE=$(TRACE) $(BUILD)/tests/unit/policy_engine_oracle_test

$(BUILD)/overspend: $(BUILD)/tests/bench/overspend.o $(BUILD)/libbase.a
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

.PHONY: bench-overspend
bench-overspend: programs  ## streams against small budgets, judged by the vendor's bill; OVERSPEND="1 128" OVERSPEND_MODES=growing OVERSPEND_RUNS=1
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(BUILD)/overspend
	@BURSAR_BUILD=$(BUILD) python3 tests/bench/overspend.py

THREAD_OPS ?= 1000000
PERTURB_TEST := tests/unit/policy_engine_perturb_test
.PHONY: oracle-threads
oracle-threads: install-test $(BUILD)/$(PERTURB_TEST)  ## eight threads, THREAD_OPS=1000000 each, schedules disturbed at 12 places; a tenth again under ThreadSanitizer
	BURSAR_THREADS_OPS=$(THREAD_OPS) $(BUILD)/$(PERTURB_TEST)
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(TSAN) $(TSAN_BUILD)/$(PERTURB_TEST)
	BURSAR_THREADS_OPS=$$(($(THREAD_OPS) / 10)) $(TSAN_BUILD)/$(PERTURB_TEST)

.PHONY: mutants
mutants: install-test $(BUILD)/libbase.a  ## faults of a hand in the engine: which tests notice? Fails when one survives
	@JOBS=$(JOBS) python3 tests/mutants/run.py $(BUILD)

callgrind: programs  ## instructions for one call, whole process
	@python3 tests/bench/callgrind.py

# --- for people -------------------------------------------------------------------------------------------------
.PHONY: run demo help
run:  ## installs what is missing, builds, and starts bursar with conf/bursar.yaml
	@tools/install.sh run
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(BUILD)/bursar
	@exec $(BUILD)/bursar serve --config conf/bursar.yaml

demo:  ## a budget filling up and stopping calls; needs no key and no network
	@tools/install.sh run
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(BUILD)/bursar $(BUILD)/vendor
	@exec $(BUILD)/bursar demo

help:  ## this list
	@grep -hE '^[a-z][a-z0-9-]*:.*  ## ' Makefile tests/rules.mk | sed 's/:.*  ## /\t/' | expand -t 12 | sort
