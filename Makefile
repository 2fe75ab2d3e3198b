# longhaul: builds everything into $(BUILD); `make help` lists the targets.
#
# Sources are found by folder: a new .c file needs no line here. Includes are written from
# fcgi-app/ ("common/buf.h", "api/http.h"), the public header as <longhaul/handler.h>.

VERSION := 0.1.0

BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
CFLAGS  ?= -O2 -g
WERROR  ?= -Werror
# SAN=1: with the address, undefined-behaviour and leak sanitizers, in a folder of its own
SAN     ?=
ifeq ($(origin CC),default)
CC := gcc
endif

# V=1: show the commands
V       ?=
Q       := $(if $(V),,@)
say      = $(if $(V),,@echo '  $(1)  $(subst $(O)/,,$@)')

O := $(BUILD)$(if $(SAN),/san)
S := fcgi-app

# Where things are installed: GNU's names.
prefix        ?= $(PREFIX)
exec_prefix   ?= $(prefix)
sbindir       ?= $(exec_prefix)/sbin
libexecdir    ?= $(exec_prefix)/libexec
datarootdir   ?= $(prefix)/share
datadir       ?= $(datarootdir)
mandir        ?= $(datarootdir)/man
docdir        ?= $(datarootdir)/doc/longhaul
includedir    ?= $(prefix)/include
sysconfdir    ?= $(prefix)/etc
unitdir       ?= $(prefix)/lib/systemd/system
sysusersdir   ?= $(prefix)/lib/sysusers.d
tmpfilesdir   ?= $(prefix)/lib/tmpfiles.d
pkglibexecdir := $(libexecdir)/longhaul
pkgdatadir    := $(datadir)/longhaul
pkgconfdir    := $(sysconfdir)/longhaul
INSTALL         ?= install
INSTALL_PROGRAM ?= $(INSTALL) -m 755
INSTALL_DATA    ?= $(INSTALL) -m 644

comma    := ,
WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wformat=2 $(WERROR)
SANFLAGS := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
ALL_CPPFLAGS := $(CPPFLAGS) -D_GNU_SOURCE -I$(S) -I$(S)/include $(shell pkg-config --cflags libpq 2>/dev/null) \
	-DLONGHAUL_SOURCES='"$(S)"' -DLONGHAUL_VERSION='"$(VERSION)"' -DLONGHAUL_LIBEXECDIR='"$(pkglibexecdir)"'
# libev casts between its watchers: no strict aliasing.
ALL_CFLAGS  := $(CFLAGS) -std=c11 -fno-common -fno-strict-aliasing -fstack-protector-strong -fPIE $(WARNINGS) $(SANFLAGS)
ALL_LDFLAGS := $(LDFLAGS) -pie -Wl,--as-needed -Wl,-z,relro,-z,now $(SANFLAGS)
LIBS := -lev -ljson-c -lpq -lcrypto -linih -lsystemd -lm
# For those who look at webhooks' URLs or speak HTTP, and for the one who resolves their hosts.
CURL := -lcurl
CARES := -lcares

# ---- what there is ----------------------------------------------------------------------------

sources = $(sort $(wildcard $(S)/$(1)/*.c))
objects = $(patsubst $(S)/%.c,$(O)/obj/%.o,$(call sources,$(1)))

COMMON     := $(O)/libcommon.a
UNIT_TESTS := $(patsubst tests/unit/%.c,$(O)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))
PROGRAMS   := $(foreach p,api worker runner courier admin,$(if $(wildcard $(S)/$(p)/main.c),$(O)/longhaul-$(p)))
HIDDEN     := %-runner %-courier # started by the worker only
ALL_OBJ    := $(foreach d,common api worker runner courier admin handlers,$(call objects,$(d)))

.PHONY: all
all: $(PROGRAMS) $(O)/longhaul-migrate $(COMMON)

.DELETE_ON_ERROR:
.SUFFIXES:

# ---- compile and link ---------------------------------------------------------------------------

# Written anew only when it changes, so that other flags rebuild what they must.
FLAGS := $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS)
$(O)/flags: force
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(FLAGS))' >$@
.PHONY: force
force:

# Says what to do when the libraries are missing, in place of a hundred compiler errors.
$(O)/libraries: Makefile
	@mkdir -p $(@D)
	@printf '#include <ev.h>\n#include <fcgiapp.h>\n#include <json-c/json.h>\n#include <libpq-fe.h>\n#include <openssl/evp.h>\n#include <ini.h>\n#include <systemd/sd-daemon.h>\n#include <curl/curl.h>\n#include <ares.h>\n' \
	| $(CC) $(ALL_CPPFLAGS) -E -o /dev/null - 2>/dev/null \
	|| { echo "A compiler or a library is missing: \`make deps\` installs what the build needs." >&2; exit 1; }
	@touch $@

$(O)/obj/%.o: $(S)/%.c $(O)/flags | $(O)/libraries
	@mkdir -p $(@D)
	$(call say,CC  )
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The newest migration is what the programs ask the database for.
MIGRATIONS := $(sort $(wildcard sql/migrations/[0-9]*.sql))
SCHEMA     := $(shell expr $(firstword $(subst _, ,$(notdir $(lastword $(MIGRATIONS))))) + 0)
$(O)/obj/common/schema.o: ALL_CPPFLAGS += -DLONGHAUL_SCHEMA=$(SCHEMA)
$(O)/obj/common/schema.o: $(MIGRATIONS)

# Holds the file.
$(O)/obj/api/openapi_text.o: $(S)/api/openapi.json

$(COMMON): $(call objects,common)
	@rm -f $@
	$(call say,AR  )
	$(Q)$(AR) rcs $@ $^

$(O)/longhaul-api: $(call objects,api) $(COMMON)
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lfcgi $(CURL) $(LIBS)

$(O)/longhaul-worker: $(call objects,worker) $(COMMON)
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# Handlers may be loaded from shared objects too: they find the ABI's functions in the program.
$(O)/longhaul-runner: $(call objects,runner) $(call objects,handlers) $(COMMON)
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -rdynamic -o $@ $^ $(CURL) $(LIBS)

$(O)/longhaul-courier: $(call objects,courier) $(COMMON)
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CURL) $(CARES) $(LIBS)

$(O)/longhaul-admin: $(call objects,admin) $(COMMON)
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# Beside longhaul-admin, which calls it.
$(O)/longhaul-migrate: sql/longhaul-migrate
	@mkdir -p $(@D)
	@sed 's|$$here/migrations|$(abspath sql/migrations)|' $< >$@ && chmod 755 $@

# ---- unit tests ---------------------------------------------------------------------------------

# A test links the common archive; a line `links: api/prefer.c worker/slots.c` in its opening
# comment adds single files of the programs.
links_of  = $(shell sed -n 's/^[ *]*links: *//p' $(1))
link_objs = $(patsubst %.c,$(O)/obj/%.o,$(call links_of,$(1)))

$(O)/tests/obj/%.o: tests/unit/%.c $(O)/flags | $(O)/libraries
	@mkdir -p $(@D)
	$(call say,CC  )
	$(Q)$(CC) $(ALL_CPPFLAGS) -Itests/unit $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define unit_test
$(O)/tests/$(1): $(O)/tests/obj/$(1).o $(call link_objs,tests/unit/$(1).c) $(COMMON)
	$$(call say,LINK)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ -lcmocka -lfcgi $$(CURL) $$(CARES) $$(LIBS)
endef
$(foreach t,$(notdir $(UNIT_TESTS)),$(eval $(call unit_test,$(t))))

.PHONY: unit-tests
unit-tests: $(UNIT_TESTS)

-include $(wildcard $(ALL_OBJ:.o=.d) $(O)/tests/obj/*.d)

# ---- what a developer types -----------------------------------------------------------------

DEPS := $(S)/tools/install-deps.sh

.PHONY: deps
deps:
	@$(DEPS) build

.PHONY: demo stop psql
demo:
	@$(DEPS) build run
	@$(MAKE) --no-print-directory all
	@LONGHAUL_BUILD='$(abspath $(O))' $(S)/tools/demo.sh start

stop:
	@LONGHAUL_BUILD='$(abspath $(O))' $(S)/tools/demo.sh stop

psql:
	@LONGHAUL_BUILD='$(abspath $(O))' $(S)/tools/demo.sh psql

# All stages in order, one summary: see tools/check.sh. `make check STAGES="unit sql"` runs some.
STAGES ?=
.PHONY: check
check:
	@$(DEPS) build run check deb package
	@MAKE='$(MAKE)' BUILD='$(BUILD)' $(S)/tools/check.sh $(STAGES)

.PHONY: bench
bench:
	@$(DEPS) build run bench
	@$(MAKE) --no-print-directory all
	@LONGHAUL_BUILD='$(abspath $(O))' tests/bench/run.sh

C_FILES = $(sort $(wildcard $(S)/*/*.[ch] $(S)/include/longhaul/*.h tests/unit/*.[ch]))

.PHONY: lint
lint: all unit-tests
	@CC='$(CC)' CPPFLAGS='$(subst ','\'',$(ALL_CPPFLAGS) -DLONGHAUL_SCHEMA=$(SCHEMA))' O='$(O)' \
	$(S)/tools/lint.sh

.PHONY: format
format:
	clang-format -i $(C_FILES)

# The sample configuration and longhaul.conf(5), from the option tables of the programs.
.PHONY: sample
sample: all
	$(S)/tools/sample-config.sh $(O) >$(O)/longhaul.conf.sample
	cp $(O)/longhaul.conf.sample $(S)/longhaul.conf.sample
	$(S)/tools/manual-config.sh $(O) >$(O)/longhaul.conf.5
	cp $(O)/longhaul.conf.5 $(S)/man/longhaul.conf.5

# ---- install ------------------------------------------------------------------------------------

D := $(DESTDIR)
SCRIPTS := $(wildcard sql/longhaul-*)
PAGES   := $(wildcard $(S)/man/*.[1-9])
UI      := $(shell find nginx/ui -type f 2>/dev/null)
MONITORING := $(shell find $(S)/monitoring -type f 2>/dev/null)
UNITS   := $(notdir $(wildcard $(S)/packaging/systemd/longhaul*))

# What scripts and units say about places, put right.
placed := sed -e 's|\$$here/migrations|$(pkgdatadir)/migrations|g' -e 's|@sbindir@|$(sbindir)|g' \
	-e 's|@sysconfdir@|$(sysconfdir)|g'

.PHONY: install uninstall
install: all
	$(INSTALL) -d $(D)$(sbindir) $(D)$(pkglibexecdir) $(D)$(pkgdatadir)/migrations $(D)$(pkgdatadir)/nginx \
		$(D)$(docdir) $(D)$(includedir)/longhaul $(D)$(pkgconfdir) $(D)$(unitdir) $(D)$(sysusersdir) $(D)$(tmpfilesdir)
	$(INSTALL_PROGRAM) $(filter-out $(HIDDEN),$(PROGRAMS)) $(D)$(sbindir)
	$(INSTALL_PROGRAM) $(filter $(HIDDEN),$(PROGRAMS)) $(D)$(pkglibexecdir)
	for f in $(SCRIPTS); do $(placed) $$f >$(D)$(sbindir)/$${f##*/} && chmod 755 $(D)$(sbindir)/$${f##*/} || exit; done
	$(INSTALL_DATA) sql/migrations/*.sql $(D)$(pkgdatadir)/migrations
	$(INSTALL_DATA) nginx/*.conf $(D)$(pkgdatadir)/nginx
	sed 's|/usr/local/share/longhaul|$(pkgdatadir)|' nginx/longhaul-ui.conf >$(D)$(pkgdatadir)/nginx/longhaul-ui.conf
	for f in $(UI:nginx/%=%); do $(INSTALL_DATA) -D nginx/$$f $(D)$(pkgdatadir)/$$f || exit; done
	for f in $(MONITORING:$(S)/%=%); do $(INSTALL_DATA) -D $(S)/$$f $(D)$(pkgdatadir)/$$f || exit; done
	$(INSTALL_DATA) $(S)/longhaul.conf.sample README.md LICENSE $(D)$(docdir)
	$(INSTALL_DATA) sql/README.md $(D)$(docdir)/README.sql.md
	$(INSTALL_DATA) $(S)/include/longhaul/handler.h $(D)$(includedir)/longhaul
	for f in $(PAGES); do $(INSTALL_DATA) -D $$f $(D)$(mandir)/man$${f##*.}/$${f##*/} || exit; done
	[ -e $(D)$(pkgconfdir)/longhaul.conf ] || $(INSTALL) -m 640 $(S)/longhaul.conf.sample $(D)$(pkgconfdir)/longhaul.conf
	for f in $(UNITS); do $(placed) $(S)/packaging/systemd/$$f >$(D)$(unitdir)/$${f%.in} \
		&& chmod 644 $(D)$(unitdir)/$${f%.in} || exit; done
	$(INSTALL_DATA) $(S)/packaging/systemd/sysusers.conf $(D)$(sysusersdir)/longhaul.conf
	$(INSTALL_DATA) $(S)/packaging/systemd/tmpfiles.conf $(D)$(tmpfilesdir)/longhaul.conf

# The configuration stays.
uninstall:
	rm -f $(addprefix $(D)$(sbindir)/,$(notdir $(filter-out $(HIDDEN),$(PROGRAMS)) $(SCRIPTS)))
	rm -f $(foreach f,$(PAGES),$(D)$(mandir)/man$(subst .,,$(suffix $(f)))/$(notdir $(f)))
	rm -f $(addprefix $(D)$(unitdir)/,$(UNITS:.in=)) $(D)$(sysusersdir)/longhaul.conf $(D)$(tmpfilesdir)/longhaul.conf
	rm -rf $(D)$(pkglibexecdir) $(D)$(pkgdatadir) $(D)$(docdir) $(D)$(includedir)/longhaul

# A Debian package in $(BUILD)/deb, from a copy of the tree; DEB_SUFFIX=+site1 for one's own builds.
DEB_SUFFIX ?=
.PHONY: deb
deb:
	@$(DEPS) build deb
	@BUILD='$(abspath $(BUILD))' VERSION='$(VERSION)$(DEB_SUFFIX)' $(S)/packaging/build-deb.sh

.PHONY: clean
clean:
	@if [ -d $(BUILD)/demo ]; then LONGHAUL_BUILD='$(abspath $(BUILD))' $(S)/tools/demo.sh stop; fi
	rm -rf $(BUILD)

.PHONY: help
help:
	@echo 'make            build the programs into $(BUILD)/'
	@echo 'make demo       start the whole stack on 127.0.0.1:8202 (PORT=…) and import 100,000 accounts'
	@echo 'make stop       end the demo; its data stays in $(BUILD)/demo/'
	@echo 'make psql       open the database of the demo'
	@echo 'make check      all tests: unit, SQL, isolation, end to end, the same under sanitizers, lint,'
	@echo '                the Debian package (STAGES="unit sql isolation e2e san lint package" chooses)'
	@echo 'make bench      measure, beside limits measured in the same run'
	@echo 'make lint       clang-tidy, cppcheck, the rules of the source rooms, options against their documents'
	@echo 'make format     clang-format'
	@echo 'make sample     write fcgi-app/longhaul.conf.sample and longhaul.conf(5) from the option tables'
	@echo 'make deps       install what the build needs (Debian); demo, check and bench do it by themselves'
	@echo 'make install    into $$(DESTDIR)$$(prefix), now $(DESTDIR)$(prefix); also uninstall'
	@echo 'make deb        a Debian package, in $(BUILD)/deb'
	@echo 'make clean      stop the demo and remove $(BUILD)/'
	@echo
	@echo 'SAN=1 builds with sanitizers into $(BUILD)/san; V=1 shows the commands.'
	@echo 'CC, CFLAGS, LDFLAGS, BUILD, DESTDIR and the usual prefix, sbindir, sysconfdir, mandir … are honoured.'
