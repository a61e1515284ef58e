/* Composes the one datagram that asks the agent: what the program was called and given, and where it stands, by descriptor.
 *
 * Descriptors, not claims: the agent learns from the kernel who asks and where. Anything that cannot be had, on an old kernel
 * or without /proc, means: no agent. This file must not know what the agent answers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "launcher.h"

enum { ARGV0_BYTES = 4096, OPENED_FIRST = 2, DESCRIPTORS = 8, FILES = 2 };

struct head { /* without gaps, each number's lower byte first */
    char magic[6];
    uint16_t protocol;
    unsigned char build[32];
    uint16_t umask, name;
    uint32_t environment;
};
_Static_assert(sizeof(struct head) == 48 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the layout of docs/agent.md");

static const struct {
    const char *path;
    int flags;
} PLACES[] = {
    {"/proc/self/ns/net", O_RDONLY},
    {"/proc/self/ns/mnt", O_RDONLY},
    {"/proc/self/ns/user", O_RDONLY},
    {"/proc/self/ns/pid", O_RDONLY},
    {"/", O_PATH | O_DIRECTORY},
    {".", O_PATH | O_DIRECTORY},
};
_Static_assert(OPENED_FIRST + sizeof PLACES / sizeof *PLACES == DESCRIPTORS, "the order of docs/agent.md");

/* Return a connection to the agent, NO_DESCRIPTOR when there is none or none is wanted. It never waits: not for a full queue. */
int agent_connect(void)
{
    const char *path = getenv("TULLE_AGENT");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    path = path == NULL ? AGENT_SOCKET : path;
    size_t length = strnlen(path, sizeof address.sun_path);
    if (length == 0 || length == sizeof address.sun_path)
        return NO_DESCRIPTOR;
    memcpy(address.sun_path, path, length);
    int agent = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (agent >= 0 && connect(agent, (const struct sockaddr *)&address, sizeof address) == 0)
        return agent;
    if (agent >= 0)
        close(agent);
    return NO_DESCRIPTOR;
}

/* Return the read end of a pipe that holds one byte. Nobody holds its write end: an empty one reads as ended. */
static int make_token(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return NO_DESCRIPTOR;
    bool filled = write_all(ends[1], "t", 1);
    close(ends[1]);
    if (filled)
        return ends[0];
    close(ends[0]);
    return NO_DESCRIPTOR;
}

static mode_t own_umask(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return mask;
}

/* Send one datagram: environment and configuration in it, or by two more descriptors. */
static bool send_with(int agent, const char *argv0, struct held *environment, struct held *configuration, const int *descriptors)
{
    bool by_files = environment->file != NO_DESCRIPTOR;
    struct head head = {
        .magic = "tulle",
        .protocol = PROTOCOL,
        .build = {BUILD_ID},
        .umask = (uint16_t)own_umask(),
        .name = (uint16_t)strlen(argv0),
        .environment = by_files ? 0 : (uint32_t)environment->length,
    };
    struct iovec parts[] = {
        {&head, sizeof head},
        {(void *)(uintptr_t)argv0, head.name},
        {environment->bytes, head.environment},
        {configuration->bytes, by_files ? 0 : configuration->length},
    };
    union {
        char bytes[CMSG_SPACE((DESCRIPTORS + FILES) * sizeof(int))];
        struct cmsghdr aligned;
    } control = {{0}};
    struct msghdr message = {
        .msg_iov = parts,
        .msg_iovlen = sizeof parts / sizeof *parts,
        .msg_control = control.bytes,
        .msg_controllen = by_files ? CMSG_SPACE((DESCRIPTORS + FILES) * sizeof(int)) : CMSG_SPACE(DESCRIPTORS * sizeof(int)),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = by_files ? CMSG_LEN((DESCRIPTORS + FILES) * sizeof(int)) : CMSG_LEN(DESCRIPTORS * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, (by_files ? DESCRIPTORS + FILES : DESCRIPTORS) * sizeof(int));
    ssize_t sent;
    do
        sent = sendmsg(agent, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

/* Hold the environment, and put both into files when one is in a file already or the datagram has no room for the two. */
static bool hold_for(struct held *configuration, char *const *environment, struct held *held)
{
    if (!hold_environment(environment, held))
        return false;
    bool small = configuration->file == NO_DESCRIPTOR && held->file == NO_DESCRIPTOR;
    if (small && configuration->length + held->length <= INLINE_BYTES)
        return true;
    return hold_in_file(configuration) && hold_in_file(held);
}

/* Ask the agent to serve this request. Return our end of the token, NO_DESCRIPTOR when nothing was sent. */
int request_send(int agent, const char *argv0, struct held *configuration, char *const *environment)
{
    static struct held held;
    held.file = NO_DESCRIPTOR;
    if (strnlen(argv0, ARGV0_BYTES + 1) > ARGV0_BYTES)
        return NO_DESCRIPTOR;
    int token = make_token();
    int descriptors[DESCRIPTORS + FILES] = {token, STDERR_FILENO};
    bool complete = token >= 0 && hold_for(configuration, environment, &held);
    for (size_t index = OPENED_FIRST; index < DESCRIPTORS; index++) {
        descriptors[index] = open(PLACES[index - OPENED_FIRST].path, PLACES[index - OPENED_FIRST].flags | O_CLOEXEC);
        complete = complete && descriptors[index] >= 0;
    }
    descriptors[DESCRIPTORS] = configuration->file;
    descriptors[DESCRIPTORS + 1] = held.file;
    bool sent = complete && send_with(agent, argv0, &held, configuration, descriptors);
    for (size_t index = OPENED_FIRST; index < DESCRIPTORS; index++)
        if (descriptors[index] >= 0)
            close(descriptors[index]);
    if (held.file != NO_DESCRIPTOR)
        close(held.file);
    if (!sent && token >= 0)
        close(token);
    return sent ? token : NO_DESCRIPTOR;
}
