/* What the files of the launcher tell each other. Nothing here is known to the agent: the two share docs/agent.md alone. */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "facts.h"

enum { NO_DESCRIPTOR = -1 };

/* words.c: what the caller gets to read */
int say(const char *document, size_t length, int status);
int pass_on(int document, int status);
int refuse(int code, const char *what, const char *where, int error, const char *remedy);
void note(const char *line);
void note_lines(const char *bytes, size_t length);
bool write_all(int descriptor, const char *bytes, size_t length);
bool ready(int descriptor, short events);

/* version.c: what VERSION answers */
const char *version_document(const char *argv0);

/* memory.c: what is read once, and may be read twice */
struct held {
    size_t length;            /* of what lies in `bytes`: all of it while there is no file */
    int file;                 /* a sealed memory file of the whole; NO_DESCRIPTOR as long as `bytes` has room */
    char bytes[INLINE_BYTES]; /* sent as it is: nobody can change a datagram either */
};
enum holding {
    HELD,      /* it may be sent, and become descriptor 0 */
    COLD_ONLY, /* held in a file, but too large for anybody or not sealed: let the cold program judge it */
    UNTOUCHED, /* nothing was read: descriptor 0 is as the caller left it */
    BROKEN     /* some was read and there is no way to get the rest; errno says why */
};
enum holding hold_configuration(int input, struct held *held);
bool hold_environment(char *const *environment, struct held *held);
bool hold_in_file(struct held *held);

/* request.c: what is sent */
int agent_connect(void);
int request_send(int agent, const char *argv0, struct held *configuration, char *const *environment);

/* commit.c: who serves the request */
struct answer {
    int document; /* a descriptor of the whole stdout; NO_DESCRIPTOR when that lies in `bytes` */
    int status;
    size_t length;
    char bytes[INLINE_BYTES];
};
enum outcome {
    ANSWERED,
    COLD, /* nobody has started, and nobody will */
    LOST  /* somebody may have started, and died */
};
struct timespec commit_deadline(void);
enum outcome commit(int agent, int token, struct timespec deadline, struct answer *answer);

/* cold.c: the program that needs nobody */
int cold_run(char **argv, struct held *configuration);
int cold_undo(char **argv, struct held *configuration);
int cold_take_back(char **argv, struct held *configuration);

#endif
