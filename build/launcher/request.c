/* Finds the agent, and composes the one datagram that asks it: what the program was called and given.
 *
 * No descriptor of the caller's goes with it: whatever a frozen agent leaves unread would keep open what the caller waits for. Who asks
 * and where it stands the agent learns from the kernel. Anything that cannot be had means: no agent. This file must not know what the
 * agent answers.
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

enum { ARGV0_BYTES = 4096, DESCRIPTORS = 1, FILES = 2 };

struct head { /* without gaps, each number's lower byte first */
    char magic[6];
    uint16_t protocol;
    unsigned char build[32];
    uint16_t umask, name;
    uint32_t environment;
};
_Static_assert(sizeof(struct head) == 48 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the layout of docs/agent.md");

/* Whose word is believed: the superuser's, or our own. */
static bool is_trusted(uid_t user)
{
    return user == 0 || user == geteuid();
}

/* Nobody but whom we trust can have put there what `path` leads to. */
static bool is_safe(const char *path, mode_t kind)
{
    struct stat about;
    bool found = stat(path, &about) == 0 && (about.st_mode & S_IFMT) == kind;
    return found && is_trusted(about.st_uid) && (about.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* The same of the socket and of the directory it lies in. */
static bool is_safe_socket(const char *path)
{
    char directory[sizeof((struct sockaddr_un *)NULL)->sun_path];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    memcpy(directory, path, length);
    directory[length] = '\0';
    const char *above = length > 0 ? directory : slash == NULL ? "." : "/";
    return is_safe(above, S_IFDIR) && is_safe(path, S_IFSOCK);
}

/* Who listens at the other end is whom we trust. */
static bool is_answered(int agent)
{
    struct ucred listener;
    socklen_t length = sizeof listener;
    return getsockopt(agent, SOL_SOCKET, SO_PEERCRED, &listener, &length) == 0 && is_trusted(listener.uid);
}

/* Return a connection to the agent, NO_DESCRIPTOR when there is none or none is wanted, or one that another user
 * may have put there. It never waits: not for a full queue. */
int agent_connect(void)
{
    const char *path = getenv("TULLE_AGENT");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    path = path == NULL ? AGENT_SOCKET : path;
    size_t length = strnlen(path, sizeof address.sun_path);
    if (length == 0 || length == sizeof address.sun_path || !is_safe_socket(path))
        return NO_DESCRIPTOR;
    memcpy(address.sun_path, path, length);
    int agent = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (agent >= 0 && connect(agent, (const struct sockaddr *)&address, sizeof address) == 0 && is_answered(agent))
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
    bool sent = false;
    if (token >= 0 && hold_for(configuration, environment, &held)) {
        int descriptors[DESCRIPTORS + FILES] = {token, configuration->file, held.file};
        sent = send_with(agent, argv0, &held, configuration, descriptors);
    }
    if (held.file != NO_DESCRIPTOR)
        close(held.file);
    if (!sent && token >= 0)
        close(token);
    return sent ? token : NO_DESCRIPTOR;
}
