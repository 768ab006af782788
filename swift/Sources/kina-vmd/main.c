// kina-vmd: the process of a home's server. libkina, which lies beside it, does the work; of virtual machines
// libkina-vm, which is the same with the other backend.
//
//   kina-vmd OPTIONS        serves in the foreground; OPTIONS is a RuntimeOptions document
//   kina-vmd OPTIONS LOG    detaches, with its standard error appended to LOG, and prints {} when it serves, or the
//                           error as a document; its detached half is `kina-vmd OPTIONS LOG DESCRIPTOR`
//
// It is a program because what it does may belong to its process: on macOS the right to make virtual machines, and
// those machines' lives. TERM and INT end it, after what is under way has been cancelled.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kina.h"
#include "platform.h"

enum { LOG_LIMIT = 1 << 20 };

static int fail(const char *what) {
    fprintf(stderr, "kina-vmd: %s: %s\n", what, strerror(errno));
    return 1;
}

// In a JSON document as kina writes it, this is that field and nothing else: a quote inside of a value has a backslash.
static const char *library_name(const char *options) {
    return strstr(options, "\"backend\":\"vm\"") ? "libkina-vm" LIBRARY_SUFFIX : "libkina" LIBRARY_SUFFIX;
}

static void *load(const char *options) {
    char path[PATH_MAX];
    if (own_path(path, sizeof path - 32) < 0) return fail("its own path"), NULL;
    strcpy(strrchr(path, '/') + 1, library_name(options));
    if (access(path, R_OK) < 0 && errno == ENOENT) {
        fprintf(stderr, "kina-vmd: %s is missing: this kina was built without that part\n", path);
        return NULL;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "kina-vmd: %s\n", dlerror());
    return library;
}

static int serve(const char *options, int ready) {
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    if (chdir("/") < 0) return fail("/");
    void *library = load(options);
    __typeof__(&kina_server_run) run = library ? (__typeof__(run))dlsym(library, "kina_server_run") : NULL;
    if (library && !run) fprintf(stderr, "kina-vmd: its library is of an older version\n");
    if (!run) return 1;
    kina_error_t *error = NULL;
    if (run(options, ready, end_signals(), &error) == KINA_OK) return 0;
    fprintf(stderr, "kina-vmd: %s%s%s\n", error->message, error->hint ? ": " : "", error->hint ? error->hint : "");
    return 1;
}

static int redirect(const char *log) {
    struct stat info;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (null < 0 || file < 0) return fail(log);
    if (fstat(file, &info) == 0 && info.st_size > LOG_LIMIT && ftruncate(file, 0) < 0) return fail(log);
    if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(file, 2) < 0) return fail(log);
    close(null);
    close(file);
    return 0;
}

// What the server says of its start, to our standard output: it ends there when the server has let go of the pipe.
static int relay(int from) {
    char buffer[4096];
    ssize_t count;
    while ((count = read(from, buffer, sizeof buffer)) > 0 || (count < 0 && errno == EINTR))
        if (count > 0 && write(1, buffer, (size_t)count) < 0) return fail("standard output");
    return 0;
}

// As a program of its own: macOS' frameworks, and the services that they talk to, do not work in the child of a fork.
static int begin_anew(const char *options, const char *log, int ready) {
    char path[PATH_MAX], number[16];
    if (own_path(path, sizeof path) < 0) return fail("its own path");
    snprintf(number, sizeof number, "%d", ready);
    fcntl(ready, F_SETFD, 0);
    execl(path, "kina-vmd", options, log, number, (char *)NULL);
    return fail(path);
}

static int detach(const char *options, const char *log) {
    int ready[2];
    if (make_pipe(ready) < 0) return fail("pipe");
    pid_t child = fork();
    if (child < 0) return fail("fork");
    if (child > 0) {
        close(ready[1]);
        return relay(ready[0]);
    }
    close(ready[0]);
    // A session of its own: neither a terminal's signals nor those to the caller's group reach it.
    if (setsid() < 0) return fail("setsid");
    return redirect(log) ? 1 : begin_anew(options, log, ready[1]);
}

int main(int argc, char **argv) {
    if (argc == 2) return serve(argv[1], -1);
    if (argc == 3) return detach(argv[1], argv[2]);
    if (argc == 4) {
        int ready = atoi(argv[3]);
        fcntl(ready, F_SETFD, FD_CLOEXEC);
        return serve(argv[1], ready);
    }
    fprintf(stderr, "usage: kina-vmd OPTIONS [LOG]\n");
    return 2;
}
