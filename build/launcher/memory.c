/* Holds what can be read only once (stdin) or only here (the environment) until it is known who reads it.
 *
 * What is small goes to a worker in the datagram. What is not, and what the cold program gets for descriptor 0, lies in a sealed memfd:
 * others can read it and nobody change it. This file must not look into what it holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "launcher.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* linux/memfd.h, since Linux 6.3; with vm.memfd_noexec=2 nothing else is allowed */
#endif

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

/* Put all into a file that nobody can change, unless it lies in one; its offset is its beginning. */
bool hold_in_file(struct held *held)
{
    if (held->file != NO_DESCRIPTOR)
        return true;
    int made = make("tulle");
    if (made >= 0 && write_all(made, held->bytes, held->length) && lseek(made, 0, SEEK_SET) == 0 && seal(made)) {
        held->file = made;
        return true;
    }
    if (made >= 0)
        close(made);
    return false;
}

/* Copy what was read and the rest of `input` to its end, or to one byte past what a configuration may be: then the cold program
 * finds it too large. Return its length, -1 when there is no way to get it. */
static ssize_t copy(int input, struct held *held, int file)
{
    size_t total = held->length;
    if (!write_all(file, held->bytes, held->length))
        return -1;
    while (total <= STDIN_BYTES) {
        size_t room = STDIN_BYTES + 1 - total;
        ssize_t count = read_some(input, held->bytes, room < sizeof held->bytes ? room : sizeof held->bytes);
        if (count == 0)
            break;
        if (count < 0 || !write_all(file, held->bytes, (size_t)count))
            return -1;
        total += (size_t)count;
    }
    return (ssize_t)total;
}

static enum holding hold_large(int input, struct held *held)
{
    int file = make("tulle");
    ssize_t total = file < 0 ? -1 : copy(input, held, file);
    if (total >= 0 && lseek(file, 0, SEEK_SET) == 0) {
        held->file = file;
        return (size_t)total <= STDIN_BYTES && seal(file) ? HELD : COLD_ONLY;
    }
    int error = errno;
    if (file >= 0)
        close(file);
    errno = error;
    return BROKEN;
}

enum holding hold_configuration(int input, struct held *held)
{
    held->length = 0;
    held->file = NO_DESCRIPTOR;
    while (held->length < sizeof held->bytes) {
        ssize_t count = read_some(input, held->bytes + held->length, sizeof held->bytes - held->length);
        if (count == 0)
            return HELD;
        if (count < 0)
            return held->length == 0 ? UNTOUCHED : BROKEN;
        held->length += (size_t)count;
    }
    return hold_large(input, held);
}

/* Add bytes to what is held; what has no room goes to `*file`, which is made when it is needed. */
static bool add(struct held *held, int *file, const char *bytes, size_t length)
{
    if (length > sizeof held->bytes - held->length) {
        *file = *file == NO_DESCRIPTOR ? make("tulle") : *file;
        if (*file < 0 || !write_all(*file, held->bytes, held->length))
            return false;
        held->length = 0;
    }
    if (length > sizeof held->bytes)
        return write_all(*file, bytes, length);
    memcpy(held->bytes + held->length, bytes, length);
    held->length += length;
    return true;
}

/* Hold every string of `environment`, each closed by a NUL; false when there is no memory to be had. */
bool hold_environment(char *const *environment, struct held *held)
{
    int file = NO_DESCRIPTOR;
    bool well = true;
    held->length = 0;
    held->file = NO_DESCRIPTOR;
    for (; well && *environment != NULL; environment++)
        well = add(held, &file, *environment, strlen(*environment) + 1);
    if (well && file == NO_DESCRIPTOR)
        return true;
    if (well && write_all(file, held->bytes, held->length) && lseek(file, 0, SEEK_SET) == 0 && seal(file)) {
        held->file = file;
        return true;
    }
    if (file >= 0)
        close(file);
    return false;
}
