/* Stands in for the cold program: starts stand_in.py with its own argv behind it, whatever few descriptors it was left with. */
#include <sys/resource.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char *command[64] = {"python3", "-IS", SCRIPT};
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int index = 0; index < argc && index < 60; index++)
        command[3 + index] = argv[index];
    execv("/usr/bin/python3", command);
    return 126;
}
