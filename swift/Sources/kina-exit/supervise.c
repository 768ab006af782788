// kina-exit run HOME CONTAINER EXITFILE PIDFILE RUNTIME [ARGUMENT...]
//     runs `RUNTIME ... run --detach` and is the parent of the container: that way it has our streams themselves, and its
//     end is known exactly and at once. (Without --detach, runc copies the streams through pipes and stays in memory.)
//     The exit code goes to EXITFILE as well, for others than the caller.
//
// kina-exit exec HOME CONTAINER PROCESS PIDFILE RUNTIME [ARGUMENT...]
//     the same with `RUNTIME ... exec --detach` and a process in a running container.
//
// kina-exit run-terminal … | exec-terminal …
//     the same with the runtime in the foreground, which copies between our terminal and the container's own.
//
// Descriptor 3 tells the caller, a line each: "started PID", then "exited CODE" or "signaled NUMBER"; or "failed" when the
// runtime did. Once nobody reads it any more, the caller is dead: the container is deleted, or the process is ended with
// its children.
#define _GNU_SOURCE
#include "exit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPORT = 3 };

enum { ORPHAN_WAIT_MS = 10000 };

// All zero when nobody will ever know how it ended.
static siginfo_t reap(pid_t pid) {
    siginfo_t info = {0};
    // crun starts a detached process from a child of its own that lives a moment longer than itself: the process is ours
    // once that child has ended.
    for (int waited = 0; waitid(P_PID, (id_t)pid, &info, WEXITED) < 0;) {
        if (errno == EINTR) continue;
        if (errno != ECHILD || waited++ >= ORPHAN_WAIT_MS) return (siginfo_t){0};
        poll(NULL, 0, 1);
    }
    return info;
}

static pid_t read_pid(const char *path) {
    FILE *file = fopen(path, "re");
    int pid = 0;
    if (!file) return 0;
    if (fscanf(file, "%d", &pid) != 1) pid = 0;
    fclose(file);
    return pid;
}

static void report_end(siginfo_t info) {
    if (info.si_pid == 0) return;
    dprintf(REPORT, "%s %d\n", info.si_code == CLD_EXITED ? "exited" : "signaled", info.si_status);
}

// Waits for a child of ours to end, or for the caller to be gone: true then.
static int is_abandoned(pid_t child) {
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    if (pidfd < 0) return 0;
    struct pollfd fds[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = REPORT, .events = 0}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {}
    close(pidfd);
    return !fds[0].revents;
}

static pid_t start(char **command) {
    pid_t runtime = vfork();
    if (runtime == 0) {
        execv(command[0], command);
        _exit(127);
    }
    // The streams are the process's alone, so that their ends show when it ends.
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++) dup2(null, fd);
    return runtime;
}

typedef enum { FAILED, ENDED, ABANDONED } outcome_t;

// Starts a process in a container by way of the runtime, reports on it, and waits for its end.
static outcome_t supervise(const char *pid_file, int terminal, char **command, siginfo_t *end) {
    fcntl(REPORT, F_SETFD, FD_CLOEXEC);
    // The process's parent will be the runtime, which ends: then it is ours, though it lives in another pid namespace.
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) return fail("PR_SET_CHILD_SUBREAPER"), FAILED;
    pid_t runtime = start(command), pid = 0;
    if (runtime < 0) return fail("fork"), FAILED;
    signal(SIGPIPE, SIG_IGN);
    int abandoned = terminal && is_abandoned(runtime);
    if (abandoned && (pid = read_pid(pid_file)) > 0) kill(pid, SIGKILL);
    *end = reap(runtime);
    if ((pid = read_pid(pid_file)) <= 0 || (!terminal && (end->si_code != CLD_EXITED || end->si_status != 0))) {
        dprintf(REPORT, "failed\n");
        return FAILED;
    }
    if (!terminal) {
        // A child of ours, so the pid is its own until we reap it.
        dprintf(REPORT, "started %d\n", (int)pid);
        abandoned = is_abandoned(pid);
        if (abandoned) kill(pid, SIGKILL);
        *end = reap(pid);
    }
    return abandoned ? ABANDONED : ENDED;
}

static void write_exit_code(const char *path, siginfo_t end) {
    char temporary[PATH_MAX];
    if (end.si_pid == 0) return;
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp", path) >= sizeof temporary) return;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return;  // the run directory is gone: somebody else has recorded the end
    dprintf(fd, "%d", end.si_code == CLD_EXITED ? end.si_status : 128 + end.si_status);
    close(fd);
    rename(temporary, path);
}

int run_container(const char *home, const char *container, const char *exit_file, const char *pid_file, int terminal,
                  char **command) {
    siginfo_t end;
    outcome_t outcome = supervise(pid_file, terminal, command, &end);
    // What the runtime had made of a container that did not start is the caller's to clear.
    if (outcome == FAILED) return 1;
    write_exit_code(exit_file, end);
    report_end(end);
    return outcome == ABANDONED ? delete_container(home, container) : 0;
}

int exec_process(const char *home, const char *container, const char *process, const char *pid_file, int terminal,
                 char **command) {
    siginfo_t end;
    outcome_t outcome = supervise(pid_file, terminal, command, &end);
    if (outcome == FAILED) return 1;
    report_end(end);
    return outcome == ABANDONED ? end_process(home, container, process) : 0;
}
