/* Waits for the agent, and knows at every moment who is to serve the request: a worker, or the cold program.
 *
 * The commit point is one byte in a pipe whose read end both sides hold. A read takes it from the other side for good, so there is
 * no moment at which both believe they have it, however slow or dead the agent is. Who has taken it says so before it begins, and does not
 * begin when nobody hears that. This file must not start anything itself.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "launcher.h"

enum { PATIENCE_MS = 200, GRACE_MS = 50, NANOSECONDS = 1000000000, NOTHING_YET = 0, ENDED = -1 };

static struct timespec now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time;
}

static struct timespec after(struct timespec time, long milliseconds)
{
    time.tv_nsec += milliseconds * (NANOSECONDS / 1000);
    time.tv_sec += time.tv_nsec / NANOSECONDS;
    time.tv_nsec %= NANOSECONDS;
    return time;
}

/* Return when nobody needs to be waited for any more who has not taken the request. */
struct timespec commit_deadline(void)
{
    return after(now(), PATIENCE_MS);
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
    if (count < 0) /* a reset is told once, before what was said; what follows it is the end */
        return errno == EAGAIN || errno == EINTR || errno == ECONNRESET ? NOTHING_YET : ENDED;
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
    if (whole && descriptor == NO_DESCRIPTOR && count >= 2 && head[1] == 0 && (head[0] == 'E' || head[0] == 'P')) {
        answer->length = (size_t)count - sizeof head;
        return head[0];
    }
    return whole && count == 1 && head[0] == 'T' ? 'T' : ENDED;
}

/* Repeat what the agent asked to have repeated: by that it knows who is here. Nobody there: the end of the connection says so. */
static void prove(int agent, struct answer *asked)
{
    char head[] = {'P', 0};
    struct iovec parts[] = {{head, sizeof head}, {asked->bytes, asked->length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = sizeof parts / sizeof *parts};
    while (sendmsg(agent, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
}

/* The token is gone and nobody says so: a worker that is held up between the two, or no worker of ours. Make it certain, in one step
 * of the kernel's, that a word which has not come by now never comes: then nobody begins. Return false when it had come. */
static bool shut_out(int agent, struct answer *answer)
{
    int kind;
    shutdown(agent, SHUT_RD);
    do
        kind = receive(agent, answer);
    while (kind == NOTHING_YET || kind == 'E' || kind == 'P');
    return kind != 'T' && kind != 'A';
}

/* Wait until it is certain who serves the request, until `deadline` for somebody who takes it; `answer` is filled when it was served. */
enum outcome commit(int agent, int token, struct timespec deadline, struct answer *answer)
{
    for (bool taken = false, late = false;;) {
        if (!spoke(agent, taken ? NULL : &deadline)) {
            if (late)
                return shut_out(agent, answer) ? COLD : LOST;
            if (take_token(token))
                return COLD;
            late = true; /* a worker was faster, and is about to say so */
            deadline = after(deadline, GRACE_MS);
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
        case 'E':
            note_lines(answer->bytes, answer->length);
            break;
        case 'P':
            prove(agent, answer);
            break;
        case NOTHING_YET:
            break;
        default:
            return taken ? LOST : COLD; /* who says no `taken` has begun nothing */
        }
    }
}
