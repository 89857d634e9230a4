#ifndef APP_VERSION_H
#define APP_VERSION_H

#define BURSAR_VERSION "0.1.0"

#endif
