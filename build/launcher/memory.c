/* Holds what can be read only once (stdin) or only here (the environment) in memory that others can read and nobody change.
 *
 * A sealed memfd serves both ways on: it is sent to a worker, or it becomes descriptor 0 of the cold program. This file must
 * not look into what it holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "facts.h"
#include "launcher.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* linux/memfd.h, since Linux 6.3; with vm.memfd_noexec=2 nothing else is allowed */
#endif

enum { CHUNK = 64 * 1024 };

static int make(const char *name)
{
    int made = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    return made < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING) : made;
}

static bool seal(int held)
{
    return fcntl(held, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0;
}

static ssize_t read_some(int input, char *bytes, size_t length)
{
    ssize_t count;
    do
        count = read(input, bytes, length);
    while (count < 0 && (errno == EINTR || (errno == EAGAIN && ready(input, POLLIN))));
    return count;
}

/* Copy `input` to its end, or one byte past what a configuration may be: then the cold program finds it too large. */
static ssize_t copy(int input, int held)
{
    char chunk[CHUNK];
    size_t total = 0;
    while (total <= STDIN_BYTES) {
        size_t room = STDIN_BYTES + 1 - total;
        ssize_t count = read_some(input, chunk, room < sizeof chunk ? room : sizeof chunk);
        if (count == 0)
            break;
        if (count < 0 && total == 0)
            return -1;
        if (count < 0 || !write_all(held, chunk, (size_t)count))
            return -2;
        total += (size_t)count;
    }
    return (ssize_t)total;
}

enum holding hold_configuration(int input, int *held)
{
    *held = make("cni configuration");
    if (*held < 0)
        return UNTOUCHED;
    ssize_t total = copy(input, *held);
    if (total >= 0 && lseek(*held, 0, SEEK_SET) == 0)
        return (size_t)total <= STDIN_BYTES && seal(*held) ? HELD : COLD_ONLY;
    int error = errno;
    close(*held);
    *held = NO_DESCRIPTOR;
    errno = error;
    return total == -1 ? UNTOUCHED : BROKEN;
}

/* Return a sealed memfd of every string of `environment`, each closed by a NUL; NO_DESCRIPTOR when there is none to be had. */
int hold_environment(char *const *environment)
{
    char chunk[CHUNK];
    size_t filled = 0;
    int held = make("cni environment");
    bool well = held >= 0;
    for (; well && *environment != NULL; environment++) {
        size_t length = strlen(*environment) + 1;
        if (length > sizeof chunk - filled) {
            well = write_all(held, chunk, filled);
            filled = 0;
        }
        if (length > sizeof chunk) {
            well = well && write_all(held, *environment, length);
        } else {
            memcpy(chunk + filled, *environment, length);
            filled += length;
        }
    }
    if (well && write_all(held, chunk, filled) && lseek(held, 0, SEEK_SET) == 0 && seal(held))
        return held;
    if (held >= 0)
        close(held);
    return NO_DESCRIPTOR;
}
