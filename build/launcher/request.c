/* Composes the one datagram that asks the agent: what the program was called, and everything else by descriptor.
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
#include <sys/un.h>
#include <unistd.h>

#include "facts.h"
#include "launcher.h"

enum { ARGV0_BYTES = 4096, DESCRIPTORS = 10, OPENED_FIRST = 4 };

static const char HEAD[] = {'t', 'u', 'l', 'l', 'e', '\0', PROTOCOL, 0}; /* the protocol: two bytes, the lower one first */
static const unsigned char BUILD[] = {BUILD_ID};

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

static bool send_with(int agent, const char *argv0, const int *descriptors)
{
    struct iovec parts[] = {
        {(void *)(uintptr_t)HEAD, sizeof HEAD},
        {(void *)(uintptr_t)BUILD, sizeof BUILD},
        {(void *)(uintptr_t)argv0, strlen(argv0)},
    };
    union {
        char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
        struct cmsghdr aligned;
    } control = {{0}};
    struct msghdr message = {
        .msg_iov = parts,
        .msg_iovlen = sizeof parts / sizeof *parts,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(DESCRIPTORS * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, DESCRIPTORS * sizeof(int));
    ssize_t sent;
    do
        sent = sendmsg(agent, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

/* Ask the agent to serve this request. Return our end of the token, NO_DESCRIPTOR when nothing was sent. */
int request_send(int agent, const char *argv0, int configuration, char *const *environment)
{
    if (strnlen(argv0, ARGV0_BYTES + 1) > ARGV0_BYTES)
        return NO_DESCRIPTOR;
    int token = make_token();
    int held = hold_environment(environment);
    int descriptors[DESCRIPTORS] = {configuration, held, token, STDERR_FILENO};
    bool complete = token >= 0 && held >= 0;
    for (size_t index = OPENED_FIRST; index < DESCRIPTORS; index++) {
        descriptors[index] = open(PLACES[index - OPENED_FIRST].path, PLACES[index - OPENED_FIRST].flags | O_CLOEXEC);
        complete = complete && descriptors[index] >= 0;
    }
    bool sent = complete && send_with(agent, argv0, descriptors);
    for (size_t index = OPENED_FIRST; index < DESCRIPTORS; index++)
        if (descriptors[index] >= 0)
            close(descriptors[index]);
    if (held >= 0)
        close(held);
    if (!sent && token >= 0)
        close(token);
    return sent ? token : NO_DESCRIPTOR;
}
