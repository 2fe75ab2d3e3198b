/*
 * hangup.h: a SIGHUP that comes before the program listens for it.
 *
 * Its default is to end the process, which is nothing a request to read the configuration again should
 * do to a program that just reads it for the first time; ignoring it would lose the request. So it is
 * kept pending from the first line of main until the loop has a handler. Both act on the calling
 * thread; children inherit the mask, so whoever spawns one meanwhile clears it.
 */
#ifndef LONGHAUL_HANGUP_H
#define LONGHAUL_HANGUP_H

void hangup_hold(void);
void hangup_release(void);

#endif
