/* Writes what the caller reads: a document on stdout, at most one, and lines for people on stderr.
 *
 * The only file that writes to descriptors 1 and 2. It must not decide what is said. Whoever calls say(), pass_on() or
 * refuse() is done: SIGPIPE is ignored from there on, and what is executed then all the same gets the default back.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher.h"

enum {
    CHUNK = 64 * 1024,
    STDERR_MS = 1000,       /* how long lines for people wait for a reader, once */
    TEXT_BYTES = 16 * 1024, /* PATH_MAX twice, for every byte may need a backslash, and our own words */
    WORDS_BYTES = 1024      /* what stays free behind a text that is not ours */
};

struct text {
    size_t length;
    char bytes[TEXT_BYTES];
};

/* Wait until `descriptor` can be used: the caller may have made it non-blocking. */
bool ready(int descriptor, short events)
{
    struct pollfd watched = {.fd = descriptor, .events = events};
    int changed;
    do
        changed = poll(&watched, 1, -1);
    while (changed < 0 && errno == EINTR);
    return changed > 0;
}

bool write_all(int descriptor, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(descriptor, bytes, length);
        if (written >= 0) {
            bytes += written;
            length -= (size_t)written;
        } else if (errno != EINTR && !(errno == EAGAIN && ready(descriptor, POLLOUT))) {
            return false;
        }
    }
    return true;
}

/* Return a way to stderr that never waits: opened anew where waiting is possible, because others may have the same open file. A file
 * does not wait, and has its offset in common with them. */
static int open_stderr(void)
{
    struct stat about;
    bool waits = fstat(STDERR_FILENO, &about) == 0 && (S_ISFIFO(about.st_mode) || S_ISCHR(about.st_mode));
    int own = waits ? open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : NO_DESCRIPTOR;
    return own < 0 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0) : own;
}

/* Write lines for people. That nobody reads them, a pipe that is full or a terminal that was stopped, is no reason to stop half-way, nor
 * to wait for long; the rest is lost. */
void note_lines(const char *bytes, size_t length)
{
    static int patience = STDERR_MS;
    int own = open_stderr();
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    while (own >= 0 && length > 0) {
        struct pollfd watched = {.fd = own, .events = POLLOUT};
        int changed = poll(&watched, 1, patience);
        if (changed < 0 && errno == EINTR)
            continue;
        patience = changed == 0 ? 0 : patience;
        ssize_t written = changed <= 0 ? -1 : write(own, bytes, length < PIPE_BUF ? length : PIPE_BUF);
        if (changed <= 0 || (written < 0 && errno != EINTR && errno != EAGAIN))
            break;
        bytes += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
    signal(SIGPIPE, before);
    if (own >= 0)
        close(own);
}

/* A line for people. */
void note(const char *line)
{
    struct text text = {0};
    size_t length = strnlen(line, sizeof text.bytes - 1);
    memcpy(text.bytes, line, length);
    text.bytes[length] = '\n';
    note_lines(text.bytes, length + 1);
}

static int undelivered(void)
{
    struct text text = {0};
    strcpy(text.bytes, "cannot deliver the answer: ");
    strncat(text.bytes, strerror(errno), WORDS_BYTES);
    note(text.bytes);
    return 1;
}

/* Print a document and return the exit status, which is 1 when nobody could be told. */
int say(const char *document, size_t length, int status)
{
    signal(SIGPIPE, SIG_IGN);
    return write_all(STDOUT_FILENO, document, length) ? status : undelivered();
}

/* Print what a worker wrote. By position: the worker has the same file offset, and left it at the end. */
int pass_on(int document, int status)
{
    char chunk[CHUNK];
    off_t place = 0;
    ssize_t count;
    signal(SIGPIPE, SIG_IGN);
    while ((count = pread(document, chunk, sizeof chunk, place)) != 0) {
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 || !write_all(STDOUT_FILENO, chunk, (size_t)count))
            return undelivered();
        place += count;
    }
    return status;
}

static void add(struct text *text, const char *words)
{
    size_t length = strnlen(words, sizeof text->bytes - text->length);
    memcpy(text->bytes + text->length, words, length);
    text->length += length;
}

/* Add text of others to a JSON string, in ASCII, and cut it where the rest of the document needs the room. */
static void add_foreign(struct text *text, const char *words)
{
    for (; *words != '\0' && text->length + 2 < sizeof text->bytes - WORDS_BYTES; words++) {
        if (*words == '"' || *words == '\\')
            text->bytes[text->length++] = '\\';
        text->bytes[text->length++] = *words < ' ' || *words > '~' ? '?' : *words;
    }
}

/* Print the error document "`what` `where`: the words for `error`" with `remedy`, and both on stderr for people; return 1. */
int refuse(int code, const char *what, const char *where, int error, const char *remedy)
{
    char digits[] = {(char)('0' + code / 10 % 10), (char)('0' + code % 10), '\0'};
    struct text cause = {0}, document = {0}, line = {0};
    add(&cause, what);
    add(&cause, *where == '\0' ? "" : " ");
    add_foreign(&cause, where);
    add(&cause, error == 0 ? "" : ": ");
    add(&cause, error == 0 ? "" : strerror(error));

    add(&document, "{\"cniVersion\": \"" NEWEST "\", \"code\": ");
    add(&document, code < 10 ? digits + 1 : digits);
    add(&document, ", \"msg\": \"");
    add(&document, cause.bytes);
    add(&document, "\", \"remedy\": \"");
    add(&document, remedy);
    add(&document, "\"}");

    add(&line, "tulle: ");
    add(&line, cause.bytes);
    add(&line, ": ");
    add(&line, remedy);
    note(line.bytes);
    return say(document.bytes, document.length, 1);
}
