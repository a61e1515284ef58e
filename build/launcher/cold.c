/* Starts the cold program: the whole of tulle in an interpreter of its own, which needs no agent and always works.
 *
 * It lies beside the launcher as `tulle` and chooses by the name it is called under. This file must not decide when.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"

static const char NAME[] = "/tulle";
static const char ELSEWHERE[] = "the launcher and its program belong together: run make build or make install again";
static const char IN_THE_MAKING[] = "it is being installed at this moment: try again";
static const char NO_PROC[] = "mount /proc, or start the program by its absolute path";

/* Find the cold program: beside this file, wherever links led here from. /proc may be absent where a runtime pivoted its root. */
static bool find(char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - sizeof NAME);
    if (length > 0) {
        path[length] = '\0';
    } else {
        const char *started = (const char *)getauxval(AT_EXECFN);
        if (started == NULL || realpath(started, path) == NULL)
            return false;
    }
    char *slash = strrchr(path, '/');
    if (slash == NULL || (size_t)(slash - path) > PATH_MAX - sizeof NAME) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(slash, NAME, sizeof NAME);
    return true;
}

/* Write "/proc/self/fd/<descriptor>". */
static void name_descriptor(char name[32], int descriptor)
{
    char digits[12];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + descriptor % 10);
    while ((descriptor /= 10) > 0);
    strcpy(name, "/proc/self/fd/");
    char *end = name + strlen(name);
    while (count > 0)
        *end++ = digits[--count];
    *end = '\0';
}

/* Put what is held at descriptor 0, opened anew: a worker has the same file offset, and may be slow to learn that it lost. */
static bool put_at_stdin(struct held *configuration)
{
    char name[32];
    if (!hold_in_file(configuration))
        return false;
    name_descriptor(name, configuration->file);
    int own = open(name, O_RDONLY | O_CLOEXEC);
    if (own < 0) {
        if (lseek(configuration->file, 0, SEEK_SET) != 0)
            return false;
        own = configuration->file;
    }
    return dup2(own, STDIN_FILENO) == STDIN_FILENO;
}

/* Become the cold program; `configuration` is what it reads on stdin, NULL leaves that as it is. Return on failure only: 1. */
int cold_run(char **argv, struct held *configuration)
{
    char path[PATH_MAX];
    if (!find(path))
        return refuse(IO_FAILURE, "cannot find the program to start", "", errno, NO_PROC);
    if (configuration != NULL && !put_at_stdin(configuration))
        return refuse(IO_FAILURE, "cannot hand the configuration to", path, errno, ELSEWHERE);
    execve(path, argv, environ);
    bool soon = errno == ETXTBSY || errno == EAGAIN || errno == ENOMEM;
    return refuse(soon ? TRY_AGAIN_LATER : IO_FAILURE, "cannot start", path, errno, soon ? IN_THE_MAKING : ELSEWHERE);
}

static void ask_for_del(void)
{
    static char verb[] = "CNI_COMMAND=DEL";
    size_t prefix = strcspn(verb, "=") + 1;
    for (char **each = environ; *each != NULL; each++)
        if (strncmp(*each, verb, prefix) == 0)
            *each = verb;
}

static bool cold_del(char **argv, struct held *configuration)
{
    signal(SIGCHLD, SIG_DFL); /* a caller that ignores it would take the exit status from us */
    pid_t child = fork();
    if (child == 0) {
        ask_for_del();
        signal(SIGPIPE, SIG_DFL); /* ignored where an answer was printed before */
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        _exit(dup2(nowhere, STDOUT_FILENO) == STDOUT_FILENO ? cold_run(argv, configuration) : 1);
    }
    int status = 0;
    pid_t ended;
    do
        ended = waitpid(child, &status, 0);
    while (ended < 0 && errno == EINTR);
    return child > 0 && ended == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Take back an ADD whose worker died half-way, by its own DEL, and tell the caller to try again. Return 1. */
int cold_undo(char **argv, struct held *configuration)
{
    bool gone = cold_del(argv, configuration);
    return refuse(
        TRY_AGAIN_LATER, "the worker that served this ADD died", "", 0,
        gone ? "what it had made was removed again by a DEL: try again"
             : "and the DEL that was to remove what it had made failed: run DEL, then try again");
}

/* Take back an ADD whose result could not be delivered, by its own DEL. Return 1. */
int cold_take_back(char **argv, struct held *configuration)
{
    note(cold_del(argv, configuration) ? "tulle: the ADD was undone" : "tulle: the ADD was not undone: run DEL");
    return 1;
}
