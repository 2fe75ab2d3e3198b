/*
 * test.h: what every unit test includes; cmocka wants these headers before its own.
 */
#ifndef LONGHAUL_TEST_H
#define LONGHAUL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
