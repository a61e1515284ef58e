/* Waits for the agent, and knows at every moment who is to serve the request: a worker, or the cold program.
 *
 * The commit point is one byte in a pipe whose read end both sides hold. A read takes it from the other side for good, so there is
 * no moment at which both believe they have it, however slow or dead the agent is. This file must not start anything itself.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "launcher.h"

enum { PATIENCE_MS = 200, NANOSECONDS = 1000000000, NOTHING_YET = 0, ENDED = -1 };

static struct timespec now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time;
}

static struct timespec left(struct timespec deadline)
{
    struct timespec time = now();
    time.tv_sec = deadline.tv_sec - time.tv_sec;
    time.tv_nsec = deadline.tv_nsec - time.tv_nsec;
    if (time.tv_nsec < 0) {
        time.tv_nsec += NANOSECONDS;
        time.tv_sec--;
    }
    return time.tv_sec < 0 ? (struct timespec){0} : time;
}

/* Wait for the agent to say something or hang up: until `deadline`, without one for ever. */
static bool spoke(int agent, const struct timespec *deadline)
{
    struct pollfd watched = {.fd = agent, .events = POLLIN};
    for (;;) {
        struct timespec patience = deadline == NULL ? (struct timespec){0} : left(*deadline);
        int changed = ppoll(&watched, 1, deadline == NULL ? NULL : &patience, NULL);
        if (changed >= 0)
            return changed > 0;
        if (errno != EINTR)
            return true; /* no memory: the receiver finds out whether there is anything */
    }
}

static bool take_token(int token)
{
    char byte;
    ssize_t count;
    do
        count = read(token, &byte, 1);
    while (count < 0 && errno == EINTR);
    return count == 1;
}

static int carried(struct msghdr *message)
{
    int descriptor = NO_DESCRIPTOR;
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    return descriptor;
}

static bool is_file(int descriptor)
{
    struct stat about;
    return descriptor >= 0 && fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode);
}

/* Receive one datagram: its kind, NOTHING_YET, or ENDED for the end of the connection and for what no agent of ours says. */
static int receive(int agent, struct answer *answer)
{
    unsigned char head[2] = {0};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control = {{0}};
    struct iovec parts[] = {{head, sizeof head}, {answer->bytes, sizeof answer->bytes}};
    struct msghdr message = {
        .msg_iov = parts,
        .msg_iovlen = sizeof parts / sizeof *parts,
        .msg_control = control.bytes,
        .msg_controllen = CMSG_LEN(sizeof(int)), /* not CMSG_SPACE: its padding would let a second descriptor in */
    };
    ssize_t count = recvmsg(agent, &message, MSG_CMSG_CLOEXEC);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? NOTHING_YET : ENDED;
    int descriptor = carried(&message);
    bool whole = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    if (whole && count >= 2 && head[0] == 'A' && (descriptor == NO_DESCRIPTOR || (count == 2 && is_file(descriptor)))) {
        answer->document = descriptor;
        answer->status = head[1];
        answer->length = (size_t)count - sizeof head;
        return 'A';
    }
    if (descriptor >= 0)
        close(descriptor);
    if (count >= 1 && head[0] == 'D')
        return 'D';
    return whole && count == 1 && head[0] == 'T' ? 'T' : ENDED;
}

/* Wait until it is certain who serves the request; `answer` is filled when it was served. */
enum outcome commit(int agent, int token, struct answer *answer)
{
    struct timespec deadline = now();
    deadline.tv_nsec += PATIENCE_MS * (NANOSECONDS / 1000);
    deadline.tv_sec += deadline.tv_nsec / NANOSECONDS;
    deadline.tv_nsec %= NANOSECONDS;
    for (bool taken = false;;) {
        if (!spoke(agent, taken ? NULL : &deadline)) {
            if (take_token(token))
                return COLD;
            taken = true; /* a worker was faster, and will say so */
            continue;
        }
        switch (receive(agent, answer)) {
        case 'A':
            return ANSWERED;
        case 'D':
            return COLD;
        case 'T':
            taken = true;
            break;
        case NOTHING_YET:
            break;
        default:
            return !taken && take_token(token) ? COLD : LOST;
        }
    }
}
