/* process.h - what the server asks of the system for itself. Main thread, at the start. */
#ifndef APP_PROCESS_H
#define APP_PROCESS_H

#include <stdint.h>

/* No core file and no debugger may show keys (security: secrets in memory); files are ours alone. */
void process_harden(void);
/* As many descriptors as there may be; says in the log when they are too few for so many connections. */
void process_raise_descriptors(int64_t max_connections);

#endif
