// What differs between the systems that kina-vmd runs on.
#ifndef KINA_VMD_PLATFORM_H
#define KINA_VMD_PLATFORM_H

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __APPLE__

#include <limits.h>
#include <mach-o/dyld.h>
#include <stdlib.h>

#define LIBRARY_SUFFIX ".dylib"

// The executable's path without links; -1 and errno when there is none.
static inline int own_path(char *path, size_t size) {
    char given[PATH_MAX], resolved[PATH_MAX];
    uint32_t room = sizeof given;
    if (_NSGetExecutablePath(given, &room) < 0 || !realpath(given, resolved)) return -1;
    return strlcpy(path, resolved, size) < size ? 0 : -1;
}

static inline int make_pipe(int ends[2]) {
    if (pipe(ends) < 0) return -1;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return 0;
}

static int end_pipe[2];

static inline void note_end(int signal_number) {
    (void)signal_number;
    (void)!write(end_pipe[1], "", 1);
}

// A descriptor that is readable once the process shall end.
static inline int end_signals(void) {
    if (make_pipe(end_pipe) < 0) return -1;
    fcntl(end_pipe[1], F_SETFL, O_NONBLOCK);
    struct sigaction action = {.sa_handler = note_end, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    return end_pipe[0];
}

#else

#include <sys/signalfd.h>

#define LIBRARY_SUFFIX ".so"

static inline int own_path(char *path, size_t size) {
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length < 0) return -1;
    path[length] = 0;
    return 0;
}

static inline int make_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

// A descriptor that is readable once the process shall end. The signals stay blocked in all its threads.
static inline int end_signals(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

#endif
#endif
