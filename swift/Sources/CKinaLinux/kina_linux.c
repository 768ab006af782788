#define _GNU_SOURCE
#include "kina_linux.h"

#ifdef __linux__
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static int checked(long result) { return result < 0 ? -errno : (int)result; }

int kina_linux_pipe(int fds[2]) { return checked(pipe2(fds, O_CLOEXEC)); }
int kina_linux_eventfd(void) { return checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }
int kina_linux_memfd(void) { return checked(memfd_create("kina", MFD_CLOEXEC)); }
int kina_linux_pidfd_open(pid_t pid) { return checked(syscall(SYS_pidfd_open, pid, 0)); }
int kina_linux_pidfd_send_signal(int pidfd, int signal) {
    return checked(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

int kina_linux_poll_ns(int fd, int64_t nanoseconds) {
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    return checked(ppoll(&entry, 1, &time, NULL));
}

int64_t kina_linux_birth_time(const char *path) {
    struct statx info;
    if (statx(AT_FDCWD, path, 0, STATX_BTIME, &info) < 0 || !(info.stx_mask & STATX_BTIME)) return 0;
    return (int64_t)info.stx_btime.tv_sec * 1000000000 + info.stx_btime.tv_nsec;
}

int kina_linux_open_in_root(int root_fd, const char *path, uint64_t flags, uint64_t mode) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = RESOLVE_IN_ROOT};
    long fd;
    // EAGAIN: a rename or mount raced with ".." in the path.
    do fd = syscall(SYS_openat2, root_fd, path, &how, sizeof how);
    while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return checked(fd);
}

int kina_linux_set_attribute(int fd, const char *name, const void *value, size_t size) {
    return checked(fsetxattr(fd, name, value, size, 0));
}

const char *kina_linux_library_path(void) {
    Dl_info info;
    return dladdr((void *)kina_linux_library_path, &info) ? info.dli_fname : NULL;
}

int kina_linux_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
    return checked(mount(source, target, type, flags, data));
}
int kina_linux_unmount(const char *target) { return checked(umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW)); }

// Namespaces belong to threads: a short-lived one enters, so that the caller's never change.
struct on_thread {
    int (*body)(void *);
    void *argument;
    int result;
};

static void *thread_main(void *raw) {
    struct on_thread *call = raw;
    call->result = call->body(call->argument);
    return NULL;
}

static int run_on_thread(int (*body)(void *), void *argument) {
    struct on_thread call = {body, argument, 0};
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);  // no handler of the host program may run in there
    int error = pthread_create(&thread, NULL, thread_main, &call);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error) return -error;
    pthread_join(thread, NULL);
    return call.result;
}

static int bring_up_loopback(void) {
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (control < 0) return -errno;
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int failed = ioctl(control, SIOCSIFFLAGS, &lo) < 0 ? -errno : 0;
    close(control);
    return failed;
}

struct pin {
    const char *path;
    const char *kind;
    int type;
    const char *hostname;
};

static int pin_namespace(void *raw) {
    const struct pin *pin = raw;
    if (unshare(pin->type) < 0) return -errno;
    int failed = pin->type == CLONE_NEWNET ? bring_up_loopback() : 0;
    if (!failed && pin->hostname) failed = checked(sethostname(pin->hostname, strlen(pin->hostname)));
    if (failed) return failed;
    char self[64];
    snprintf(self, sizeof self, "/proc/self/task/%ld/ns/%s", syscall(SYS_gettid), pin->kind);
    return checked(mount(self, pin->path, NULL, MS_BIND, NULL));
}

static int pin(struct pin pin) {
    int fd = open(pin.path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return -errno;
    close(fd);
    int result = run_on_thread(pin_namespace, &pin);
    if (result < 0) unlink(pin.path);
    return result;
}

int kina_linux_pin_netns(const char *path) { return pin((struct pin){path, "net", CLONE_NEWNET, NULL}); }
int kina_linux_pin_ipcns(const char *path) { return pin((struct pin){path, "ipc", CLONE_NEWIPC, NULL}); }
int kina_linux_pin_utsns(const char *path, const char *hostname) {
    return pin((struct pin){path, "uts", CLONE_NEWUTS, hostname});
}

enum { MAX_DESCRIPTORS = 64 };

struct child {
    const char *path;  // or
    int exe_fd;
    char *const *argv;
    char *const *envp;
    const char *cwd;
    int stdio[3];
    const int *keep;
    int keep_count;
    int session;
    int die_with_us;
    pid_t parent;
};

// Between vfork and exec: only async-signal-safe calls, and nothing that the parent could see but *error.
__attribute__((noreturn)) static void child_main(const struct child *c, volatile int *error) {
    struct sigaction standard = {.sa_handler = SIG_DFL};
    int moved[MAX_DESCRIPTORS], count = 3 + c->keep_count, exe = -1;
    sigset_t none;
    sigemptyset(&none);
    for (int n = 1; n < NSIG; n++) sigaction(n, &standard, NULL);
    if (c->session ? setsid() < 0 : setpgid(0, 0) < 0) goto failed;
    if (c->die_with_us) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) goto failed;
        if (getppid() != c->parent) _exit(127);  // it died before we asked
    }
    if (c->cwd && chdir(c->cwd) < 0) goto failed;
    // Everything moves above the targets first, so that no dup2 overwrites a source.
    for (int i = 0; i < count; i++) {
        int source = i < 3 ? c->stdio[i] : c->keep[i - 3];
        if (source < 0) {
            source = open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
            if (source < 0) goto failed;
        }
        moved[i] = fcntl(source, F_DUPFD_CLOEXEC, count + 1);
        if (moved[i] < 0) goto failed;
    }
    if (!c->path && (exe = fcntl(c->exe_fd, F_DUPFD_CLOEXEC, count + 1)) < 0) goto failed;
    for (int i = 0; i < count; i++)
        if (dup2(moved[i], i) < 0) goto failed;
    // Marked, not closed: exec needs `exe`, and a failed exec must still report.
    if (syscall(SYS_close_range, (unsigned)count, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */) < 0) goto failed;
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (c->path) execve(c->path, c->argv, c->envp);
    else syscall(SYS_execveat, exe, "", c->argv, c->envp, AT_EMPTY_PATH);
failed:
    *error = errno;
    _exit(127);
}

static int start(const struct child *c, pid_t *pid) {
    volatile int error = 0;
    if (c->keep_count > MAX_DESCRIPTORS - 3) return -E2BIG;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);  // a handler must not run in the child on our memory
    pid_t child = vfork();
    if (child == 0) child_main(c, &error);
    int failed = child < 0 ? errno : 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) return -failed;
    if (error) {
        siginfo_t info;
        while (waitid(P_PID, (id_t)child, &info, WEXITED) < 0 && errno == EINTR) {}
        return -error;
    }
    *pid = child;
    return 0;
}

int kina_linux_spawn(const char *path, char *const argv[], char *const envp[], const char *cwd, const int stdio[3],
                     const int *keep, int keep_count, int session, int die_with_us, pid_t *pid) {
    struct child c = {.path = path, .argv = argv, .envp = envp, .cwd = cwd,
                      .stdio = {stdio[0], stdio[1], stdio[2]}, .keep = keep, .keep_count = keep_count,
                      .session = session, .die_with_us = die_with_us, .parent = getpid()};
    return start(&c, pid);
}

struct in_root {
    int mntns_fd, root_fd;
    struct child child;
    pid_t *pid;
};

static int spawn_in_root(void *raw) {
    struct in_root *request = raw;
    if (unshare(CLONE_FS) < 0) return -errno;
    if (request->mntns_fd >= 0 && setns(request->mntns_fd, CLONE_NEWNS) < 0) return -errno;
    if (fchdir(request->root_fd) < 0 || chroot(".") < 0) return -errno;
    return start(&request->child, request->pid);
}

int kina_linux_spawn_in_root(int mntns_fd, int root_fd, const char *cwd, int exe_fd, char *const argv[],
                             char *const envp[], const int stdio[3], pid_t *pid) {
    // /dev/null is opened here: the container's may be anything.
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return -errno;
    struct in_root request = {mntns_fd, root_fd, {.exe_fd = exe_fd, .argv = argv, .envp = envp, .cwd = cwd}, pid};
    for (int i = 0; i < 3; i++) request.child.stdio[i] = stdio[i] < 0 ? null : stdio[i];
    int result = run_on_thread(spawn_in_root, &request);
    close(null);
    return result;
}
#endif
