/* Serves one request of a container runtime: by the table of versions, by a warm worker of the agent, or by the cold program.
 *
 * This is what lies in a plugin directory, because an interpreter takes longer to start than a container's whole network
 * takes to make. It must not know JSON, networks or what a verb means, but for one thing: an ADD can be undone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher.h"

/* Fill standard descriptors that the caller left closed, lest a socket become stdout. */
static bool hold_descriptors(void)
{
    int descriptor;
    do
        descriptor = open("/dev/null", O_RDWR);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    return descriptor >= 0 && close(descriptor) == 0;
}

static enum outcome ask(const char *argv0, struct held *configuration, struct answer *answer)
{
    struct timespec deadline = commit_deadline();
    int agent = agent_connect();
    if (agent == NO_DESCRIPTOR)
        return COLD;
    int token = request_send(agent, argv0, configuration, environ);
    enum outcome outcome = token == NO_DESCRIPTOR ? COLD : commit(agent, token, deadline, answer);
    if (outcome == ANSWERED)
        return ANSWERED; /* the caller waits, and the end of this process closes everything */
    if (token != NO_DESCRIPTOR)
        close(token);
    close(agent); /* the worker of a request that was withdrawn finds nobody at the other end */
    return outcome;
}

static int serve(char **argv, const char *verb)
{
    static struct held configuration;
    static struct answer answer;
    switch (hold_configuration(STDIN_FILENO, &configuration)) {
    case HELD:
        break;
    case COLD_ONLY:
        return cold_run(argv, &configuration);
    case UNTOUCHED:
        return cold_run(argv, NULL);
    case BROKEN:
    default:
        return refuse(IO_FAILURE, "error reading from", "stdin", errno, "the runtime writes the configuration there");
    }
    switch (ask(argv[0], &configuration, &answer)) {
    case ANSWERED: {
        int status = answer.document == NO_DESCRIPTOR ? say(answer.bytes, answer.length, answer.status)
                                                      : pass_on(answer.document, answer.status);
        bool untold = status != answer.status; /* a runtime that has no result knows nothing of the container's network */
        return untold && strcmp(verb, "ADD") == 0 ? cold_take_back(argv, &configuration) : status;
    }
    case LOST:
        if (strcmp(verb, "ADD") == 0)
            return cold_undo(argv, &configuration);
        note("tulle: the worker that served this request died; the cold program serves it again");
        return cold_run(argv, &configuration);
    case COLD:
    default:
        return cold_run(argv, &configuration);
    }
}

int main(int argc, char **argv)
{
    const char *verb = getenv("CNI_COMMAND");
    if (argc < 1 || !hold_descriptors() || verb == NULL || *verb == '\0')
        return cold_run(argv, NULL); /* a person started it by hand: the program tells about itself */
    if (strcmp(verb, "VERSION") != 0)
        return serve(argv, verb);
    const char *document = version_document(argv[0]);
    return document == NULL ? cold_run(argv, NULL) : say(document, strlen(document), 0);
}
