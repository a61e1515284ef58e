/* Feeds the launcher's files what no runtime and no agent should, and holds them to a model written a second time.
 *
 * usage: fuzz SECONDS SEED. Every round has a seed of its own; the one that fails is printed, and `fuzz 0 SEED` runs it alone.
 * Blind spot: one thread, so an agent has said all it will say before the launcher listens; races are test_commit.py's.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "launcher.h"

enum { SENT = 1, FILES = 2, HEAD_BYTES = 48, STEPS = 5, STRINGS = 40, LONGEST = 70000, PATIENT = 2000, LARGE = 400, QUOTES = 14 };

static uint64_t round_seed, state;
static char noise[LONGEST], seen[2 * LONGEST];

static uint32_t draw(uint32_t below) /* splitmix64 */
{
    uint64_t mixed = state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return (uint32_t)((mixed ^ (mixed >> 31)) >> 32) % below;
}

static void hold(bool claim, const char *words)
{
    if (claim)
        return;
    fprintf(stderr, "fuzz: not so: %s (errno %s)\nfuzz: run this round alone: fuzz 0 %llu\n", words, strerrorname_np(errno),
            (unsigned long long)round_seed);
    abort();
}

static int open_descriptors(void)
{
    int count = 0;
    for (int descriptor = 0; descriptor < 64; descriptor++)
        count += fcntl(descriptor, F_GETFD) >= 0;
    return count;
}

static uint32_t size(uint32_t longest) /* small ones often, and the edges */
{
    switch (draw(4)) {
    case 0:
        return draw(4);
    case 1:
        return draw(longest + 1);
    case 2:
        return longest - draw(3);
    default:
        return draw(300);
    }
}

static int file_of(size_t length)
{
    int made = memfd_create("fuzz", MFD_CLOEXEC);
    hold(made >= 0 && ftruncate(made, (off_t)length) == 0, "a file can be made");
    hold(length == 0 || pwrite(made, noise, length < LONGEST ? length : LONGEST, 0) > 0, "a file can be filled");
    return made;
}

static bool read_byte(int token)
{
    char byte;
    return read(token, &byte, 1) == 1;
}

static int make_token(bool filled)
{
    int ends[2];
    hold(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 && (!filled || write(ends[1], "t", 1) == 1), "a token can be made");
    close(ends[1]);
    return ends[0];
}

/* An agent says up to STEPS things, some of them right; `outcome` is what docs/agent.md makes of it. */
struct play {
    bool taken, said_taken, decided;
    enum outcome outcome;
    size_t length, told, asked; /* of the answer; bytes for stderr; what is to be repeated */
};

static void send_step(int agent, struct play *play)
{
    static const char KINDS[] = "TTADAEEPP\0X";
    char kind = KINDS[draw(sizeof KINDS)];
    size_t shortest = kind == 'E' || kind == 'P' ? 2 + draw(2) : 1 + (kind == 'A');
    size_t length = draw(2) ? shortest : size(draw(2) ? LONGEST : INLINE_BYTES + 2);
    int descriptors[4], count = draw(2) ? kind == 'A' : (int)draw(5);
    bool file = draw(4) != 0;
    union {
        char bytes[CMSG_SPACE(sizeof descriptors)];
        struct cmsghdr aligned;
    } control = {{0}};
    if (length > 0)
        noise[0] = kind;
    if (kind == 'E' || kind == 'P')
        noise[1] = (char)(draw(8) == 0);
    for (int index = 0; index < count; index++)
        descriptors[index] = file ? file_of(3) : open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct iovec part = {noise, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, (size_t)count * sizeof(int));
    }
    bool sent = sendmsg(agent, &message, MSG_NOSIGNAL) >= 0;
    for (int index = 0; index < count; index++)
        close(descriptors[index]);
    if (!sent || play->decided)
        return;
    bool by_file = length == 2 && count == 1 && file;
    bool inside = length >= 2 && length <= INLINE_BYTES + 2 && count == 0;
    if (noise[0] == 'A' && (by_file || inside)) {
        play->decided = true;
        play->outcome = ANSWERED;
        play->length = by_file ? 0 : length - 2;
    } else if (length >= 1 && noise[0] == 'D') {
        play->decided = true;
        play->outcome = COLD;
    } else if (length == 1 && noise[0] == 'T' && count <= 1) {
        play->said_taken = true;
    } else if (inside && noise[1] == 0 && (noise[0] == 'E' || noise[0] == 'P')) {
        play->told += noise[0] == 'E' ? length - 2 : 0;
        play->asked += noise[0] == 'P';
    } else {
        play->decided = true;
        play->outcome = play->said_taken ? LOST : COLD;
    }
}

static size_t repeated(int agent) /* how many datagrams came back */
{
    size_t count = 0;
    while (recv(agent, seen, sizeof seen, MSG_DONTWAIT) > 0) {
        hold(seen[0] == 'P' && seen[1] == 0, "only what was asked is repeated");
        count++;
    }
    return count;
}

static void fuzz_commit(void)
{
    int ends[2], token = make_token(true), mine = dup(STDERR_FILENO), paper = file_of(0);
    hold(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "there are sockets");
    struct play play = {0};
    play.taken = draw(2) && read_byte(token);
    for (uint32_t step = draw(STEPS + 1); step > 0; step--)
        send_step(ends[1], &play);
    bool patient = !play.said_taken && !play.decided && draw(PATIENT) == 0; /* costs the 200 ms */
    if (!patient)
        shutdown(ends[1], SHUT_WR); /* the end, but what is repeated can be read */
    if (!play.decided)
        play.outcome = play.said_taken ? LOST : COLD;
    static struct answer answer;
    answer.status = -1;
    hold(dup2(paper, STDERR_FILENO) == STDERR_FILENO, "stderr can be moved");
    enum outcome outcome = commit(ends[0], token, commit_deadline(), &answer);
    dup2(mine, STDERR_FILENO);
    hold(outcome == play.outcome, "the outcome is what the protocol makes of the datagrams");
    hold(outcome != ANSWERED || (answer.status >= 0 && answer.status < 256), "a status is one byte");
    hold(outcome != ANSWERED || answer.length == play.length, "what the datagram holds has its length");
    hold(outcome != ANSWERED || memcmp(answer.bytes, noise + 2, answer.length) == 0, "it arrives as it was sent");
    hold(lseek(paper, 0, SEEK_END) == (off_t)play.told, "the lines go to stderr, and nothing else");
    hold(repeated(ends[1]) == play.asked, "what was asked is repeated");
    if (outcome == ANSWERED && answer.document != NO_DESCRIPTOR)
        hold(close(answer.document) == 0, "the document is a descriptor");
    if (patient) {
        hold(!read_byte(token), "a withdrawn request leaves no token");
        hold(!play.taken || (send(ends[1], "T", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE), "nor one who could say he took it");
    }
    close(ends[1]);
    close(ends[0]);
    close(token);
    close(paper);
    close(mine);
}

static char *random_string(uint32_t longest)
{
    uint32_t length = size(longest);
    char *made = malloc(length + 1);
    hold(made != NULL, "there is memory");
    for (uint32_t index = 0; index < length; index++)
        made[index] = (char)(1 + draw(255));
    static const char SPECIAL[] = "/\"\\";
    for (uint32_t specials = draw(2 * length + 1); specials > 0; specials--)
        made[draw(length)] = SPECIAL[draw(sizeof SPECIAL - 1)];
    made[length] = '\0';
    return made;
}

static size_t joined(char **strings, char *place, size_t room) /* of the environment and its length, whatever room there is */
{
    size_t total = 0;
    for (; *strings != NULL; strings++) {
        size_t length = strlen(*strings) + 1;
        if (total + length <= room)
            memcpy(place + total, *strings, length);
        total += length;
    }
    return total;
}

static void same_environment(int held, char **strings)
{
    struct stat about;
    hold(fstat(held, &about) == 0 && about.st_size <= (off_t)STRINGS * (LONGEST + 1), "an environment has a size");
    off_t place = 0;
    for (; *strings != NULL; strings++) {
        size_t length = strlen(*strings) + 1;
        hold(pread(held, seen, length, place) == (ssize_t)length && memcmp(seen, *strings, length) == 0, "strings arrive whole");
        place += (off_t)length;
    }
    hold(place == about.st_size, "nothing else is in the environment");
    hold(write(held, "x", 1) < 0 && errno == EPERM, "an environment is sealed");
}

static void same_configuration(int held, size_t length)
{
    struct stat about;
    size_t compared = length < LONGEST ? length : LONGEST;
    hold(fstat(held, &about) == 0 && (size_t)about.st_size == length, "a configuration has its length");
    hold(pread(held, seen, compared, 0) == (ssize_t)compared && memcmp(seen, noise, compared) == 0, "it is what it was");
    hold(write(held, "x", 1) < 0 && errno == EPERM, "a configuration is sealed");
}

static void receive_request(int agent, const char *argv0, char **strings, size_t length)
{
    static char block[INLINE_BYTES];
    int descriptors[SENT + FILES];
    union {
        char bytes[CMSG_SPACE(sizeof descriptors)];
        struct cmsghdr aligned;
    } control;
    struct iovec part = {seen, sizeof seen};
    struct msghdr message = {&(char){0}, 0, &part, 1, control.bytes, sizeof control.bytes, 0};
    ssize_t count = recvmsg(agent, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    size_t name = strlen(argv0), environment = joined(strings, block, sizeof block);
    bool small = environment + length <= INLINE_BYTES && length < INLINE_BYTES; /* the end of a full one was not seen */
    size_t body = small ? environment + length : 0;
    hold(count == (ssize_t)(HEAD_BYTES + name + body), "head, name and what is small are all there is");
    hold(memcmp(seen, "tulle\0\3\0", 8) == 0 && memcmp(seen + HEAD_BYTES, argv0, name) == 0, "head and name arrive");
    uint32_t told[2] = {(uint32_t)name << 16 | 022, small ? (uint32_t)environment : 0};
    hold(memcmp(seen + 40, told, sizeof told) == 0, "umask and lengths arrive");
    int sent = small ? SENT : SENT + FILES;
    hold(header != NULL && header->cmsg_len == CMSG_LEN((size_t)sent * sizeof(int)), "every descriptor comes");
    memcpy(descriptors, CMSG_DATA(header), (size_t)sent * sizeof(int));
    if (small) {
        hold(memcmp(seen + HEAD_BYTES + name, block, environment) == 0, "the environment arrives");
        hold(memcmp(seen + HEAD_BYTES + name + environment, noise, length) == 0, "the configuration arrives");
    } else {
        same_configuration(descriptors[SENT], length);
        same_environment(descriptors[SENT + 1], strings);
    }
    hold(read_byte(descriptors[0]) && !read_byte(descriptors[0]), "the token is one byte");
    for (int index = 0; index < sent; index++)
        close(descriptors[index]);
}

static void let_go(struct held *held)
{
    if (held->file != NO_DESCRIPTOR)
        close(held->file);
}

static void fuzz_request(void)
{
    static struct held held;
    size_t length = draw(2) ? size(300) : size(LONGEST);
    int ends[2], input = file_of(length);
    char *strings[STRINGS + 1] = {NULL}, *argv0 = random_string(5000);
    hold(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "there are sockets");
    for (uint32_t index = 0, count = draw(STRINGS); index < count; index++)
        strings[index] = random_string(draw(20) ? 300 : LONGEST);
    hold(hold_configuration(input, &held) == HELD, "a configuration is held");
    int token = request_send(ends[0], argv0, &held, strings);
    hold((token == NO_DESCRIPTOR) == (strlen(argv0) > 4096), "only a name that is too long is not sent");
    if (token != NO_DESCRIPTOR) {
        receive_request(ends[1], argv0, strings, length);
        close(token);
    }
    hold(hold_in_file(&held), "what was sent can be put into a file");
    same_configuration(held.file, length);
    const char *slash = strrchr(argv0, '/'), *name = slash == NULL ? argv0 : slash + 1;
    hold(version_document(argv0) == NULL || strlen(name) > 3, "a name of the table is matched whole");
    for (char **each = strings; *each != NULL; each++)
        free(*each);
    free(argv0);
    let_go(&held);
    close(input);
    close(ends[0]);
    close(ends[1]);
}

static void fuzz_configuration(void)
{
    static struct held held;
    size_t length = draw(LARGE) ? size(draw(2) ? LONGEST : INLINE_BYTES + 2) : STDIN_BYTES - 2 + draw(5);
    int input = file_of(length);
    enum holding holding = hold_configuration(input, &held);
    hold(holding == (length > STDIN_BYTES ? COLD_ONLY : HELD), "what is not too large is held");
    hold((held.file == NO_DESCRIPTOR) == (length < INLINE_BYTES), "what is small needs no file");
    hold(held.file != NO_DESCRIPTOR || (held.length == length && memcmp(held.bytes, noise, length) == 0), "it is what it was");
    hold(hold_in_file(&held), "it can be put into a file");
    if (holding == HELD)
        same_configuration(held.file, length);
    struct stat about;
    hold(fstat(held.file, &about) == 0, "it is a file");
    hold((size_t)about.st_size == (length > STDIN_BYTES ? STDIN_BYTES + 1 : length), "it is as long as it was, or cut");
    hold(lseek(held.file, 0, SEEK_CUR) == 0, "it is read from its beginning");
    let_go(&held);
    close(input);
}

static void fuzz_refusal(void)
{
    int mine = dup(STDOUT_FILENO), paper = file_of(0), quotes = 0;
    char *where = random_string(20000);
    hold(dup2(paper, STDOUT_FILENO) == STDOUT_FILENO, "stdout can be moved");
    hold(refuse((int)draw(100), "cannot start", where, (int)draw(140), "try again") == 1, "a refusal ends in 1");
    dup2(mine, STDOUT_FILENO);
    ssize_t count = pread(paper, seen, sizeof seen, 0);
    hold(count > 2 && memcmp(seen + count - 2, "\"}", 2) == 0, "a refusal is never cut at its end");
    for (ssize_t index = 0; index < count; index++) {
        hold(seen[index] >= ' ' && seen[index] <= '~', "a refusal is ASCII");
        quotes += seen[index] == '"';
        index += seen[index] == '\\';
    }
    hold(quotes == QUOTES, "no text of others closes a string");
    free(where);
    close(paper);
    close(mine);
}

int main(int argc, char **argv)
{
    umask(022);
    static void (*const TARGETS[])(void) = {fuzz_commit, fuzz_commit, fuzz_request, fuzz_configuration, fuzz_refusal};
    time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 0);
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, rounds = 0;
    do {
        state = round_seed = first + rounds++;
        for (size_t index = 0; index < sizeof noise; index++)
            noise[index] = (char)(index * 31 + round_seed);
        int before = open_descriptors();
        TARGETS[draw(sizeof TARGETS / sizeof *TARGETS)]();
        hold(open_descriptors() == before, "no descriptor is left open");
    } while (time(NULL) < end);
    printf("fuzz: %llu rounds from seed %llu\n", (unsigned long long)rounds, (unsigned long long)first);
    return 0;
}
