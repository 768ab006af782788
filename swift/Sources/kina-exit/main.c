// kina-exit: what must still be done when the program that used kina is not there to do it.
//
//   kina-exit exited HOME ID
//       conmon's exit command: records how a container ended and clears what its run used.
//   kina-exit run … | exec …
//       the parent of a container's first process, or of a further one: see supervise.c.
//
// It is small on purpose: there is one for each container that runs this way. libkina, which lies beside it, is loaded
// only at the end.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exit.h"
#include "kina.h"

int fail(const char *what) {
    fprintf(stderr, "kina-exit: %s: %s\n", what, strerror(errno));
    return 125;
}

// {"home": "…"} with the path escaped; the caller frees it.
static char *options_for(const char *home) {
    char *text = malloc(6 * strlen(home) + 16), *end = text;
    if (!text) return NULL;
    end += sprintf(end, "{\"home\":\"");
    for (const unsigned char *c = (const unsigned char *)home; *c; c++) {
        if (*c == '"' || *c == '\\') end += sprintf(end, "\\%c", *c);
        else if (*c < 0x20) end += sprintf(end, "\\u%04x", *c);
        else *end++ = (char)*c;
    }
    strcpy(end, "\"}");
    return text;
}

// libkina, which lies beside this program; NULL after saying why not.
static void *load(void) {
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 16);
    if (length < 0) return fail("/proc/self/exe"), NULL;
    path[length] = 0;
    strcpy(strrchr(path, '/') + 1, "libkina.so");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "kina-exit: %s\n", dlerror());
    return library;
}

static void *symbol(void *library, const char *name) {
    void *found = library ? dlsym(library, name) : NULL;
    if (library && !found) fprintf(stderr, "kina-exit: libkina.so has no %s\n", name);
    return found;
}
#define SYMBOL(library, name) ((__typeof__(&name))symbol(library, #name))

static kina_runtime_t *open_runtime(void *library, const char *home, kina_error_t **error) {
    kina_runtime_t *runtime = NULL;
    __typeof__(&kina_runtime_open) open = SYMBOL(library, kina_runtime_open);
    char *options = options_for(home);
    if (open && options) open(options, &runtime, error);
    free(options);
    return runtime;
}

static int outcome(kina_code_t code, const kina_error_t *error) {
    if (code == KINA_OK || code == KINA_NOT_FOUND) return 0;
    fprintf(stderr, "kina-exit: %s\n", error ? error->message : "failed");
    return 125;
}

// Opens a runtime in libkina and lets it finish the container: force deletes it, else its end is recorded.
static int finish(const char *home, const char *id, int force) {
    kina_error_t *error = NULL;
    void *library = load();
    kina_runtime_t *runtime = open_runtime(library, home, &error);
    __typeof__(&kina_container_exited) exited = SYMBOL(library, kina_container_exited);
    __typeof__(&kina_container_delete) delete = SYMBOL(library, kina_container_delete);
    if (!runtime || !exited || !delete) return outcome(KINA_INTERNAL, error);
    return outcome(force ? delete (runtime, NULL, id, 1, &error) : exited(runtime, id, &error), error);
}

int end_process(const char *home, const char *container, const char *process) {
    kina_error_t *error = NULL;
    void *library = load();
    kina_runtime_t *runtime = open_runtime(library, home, &error);
    __typeof__(&kina_process_delete) delete = SYMBOL(library, kina_process_delete);
    if (!runtime || !delete) return outcome(KINA_INTERNAL, error);
    return outcome(delete (runtime, container, process, &error), error);
}

int delete_container(const char *home, const char *container) { return finish(home, container, 1); }

static int starts_with(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "exited") == 0) return finish(argv[2], argv[3], 0);
    int terminal = argc > 6 && strstr(argv[1], "-terminal") != NULL;
    if (argc > 6 && starts_with(argv[1], "run")) return run_container(argv[2], argv[3], argv[4], argv[5], terminal, argv + 6);
    if (argc > 6 && starts_with(argv[1], "exec")) return exec_process(argv[2], argv[3], argv[4], argv[5], terminal, argv + 6);
    fprintf(stderr, "usage: kina-exit exited HOME ID\n"
                    "     | run[-terminal] HOME CONTAINER EXITFILE PIDFILE PROGRAM [ARGUMENT...]\n"
                    "     | exec[-terminal] HOME CONTAINER PROCESS PIDFILE PROGRAM [ARGUMENT...]\n");
    return 2;
}
