/* exit.h - how commands end. sysexits numbers where one fits; the store has EXIT_STORAGE_IO 70, EXIT_BUSY 75 and
 * EXIT_STORE 78 (store/store.h). */
#ifndef APP_EXIT_H
#define APP_EXIT_H

#define EXIT_OK 0
#define EXIT_FAILED 1     /* the command could not do it, or found an error (verify) */
#define EXIT_USAGE 2      /* command line or configuration is wrong; nothing was done */
#define EXIT_NO_SERVER 69 /* the server does not answer */

#endif
