/* Answers VERSION from a table that the build writes from each program's own PROGRAM, so that nothing is said twice.
 *
 * It must not read stdin (docs/reference/cni.md 1.1) and has no opinion about a name it does not find: the cold program has.
 */
#include <string.h>

#include "launcher.h"

static const struct {
    const char *name, *document;
} VERSIONS[] = {VERSION_TABLE};

/* Return the document that the program called `argv0` prints, NULL when there is no such program. */
const char *version_document(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    const char *name = slash == NULL ? argv0 : slash + 1;
    for (size_t index = 0; index < sizeof VERSIONS / sizeof *VERSIONS; index++)
        if (strcmp(VERSIONS[index].name, name) == 0)
            return VERSIONS[index].document;
    return NULL;
}
