/*
 * exit_codes.h: why a program ended. Scripts and service managers may rely on these numbers.
 */
#ifndef LONGHAUL_EXIT_CODES_H
#define LONGHAUL_EXIT_CODES_H

enum exit_code {
	EXIT_OK = 0,
	EXIT_INTERNAL = 1,    /* a defect in the program, or out of memory */
	EXIT_USAGE = 2,       /* bad command line or configuration: don't restart */
	EXIT_ENVIRONMENT = 3, /* can't listen, no such folder or executable, a limit too low */
	EXIT_DATABASE = 4,    /* the database refused at start: wrong schema, wrong password */
};

#endif
