// What Swift can't call or must not do by itself. Linux only; every function returns 0 or a descriptor, or -errno.
#ifndef KINA_LINUX_H
#define KINA_LINUX_H

#include <stdint.h>
#include <sys/types.h>

// Nothing here is part of libkina's ABI.
#pragma GCC visibility push(hidden)

// pipe2(2), eventfd(2), memfd_create(2), pidfd_open(2), openat2(2) with RESOLVE_IN_ROOT: variadic or missing in the Glibc overlay.
int kina_linux_pipe(int fds[2]);
int kina_linux_eventfd(void);
int kina_linux_memfd(void);
int kina_linux_pidfd_open(pid_t pid);
int kina_linux_pidfd_send_signal(int pidfd, int signal);
// Waits until fd (-1: none) is readable, at most so many nanoseconds; 1 when it is.
int kina_linux_poll_ns(int fd, int64_t nanoseconds);
// When a file was made, nanoseconds since the epoch; 0 where its file system does not know.
int64_t kina_linux_birth_time(const char *path);
int kina_linux_open_in_root(int root_fd, const char *path, uint64_t flags, uint64_t mode);
// fsetxattr(2).
int kina_linux_set_attribute(int fd, const char *name, const void *value, size_t size);

// The file that this code was loaded from.
const char *kina_linux_library_path(void);

// Takes a mount, detaching at once whatever uses it.
int kina_linux_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int kina_linux_unmount(const char *target);

// A new network namespace with its loopback up, kept alive by a bind mount on `path` (an empty file it makes).
int kina_linux_pin_netns(const char *path);
// The same with a new IPC namespace, and with a UTS namespace of that host name.
int kina_linux_pin_ipcns(const char *path);
int kina_linux_pin_utsns(const char *path, const char *hostname);

// Starts the program behind exe_fd (which must be statically linked) inside the mount namespace of mntns_fd (-1: the
// caller's) with the directory root_fd as its root and working directory `cwd` beneath it. stdio[i] < 0: /dev/null.
int kina_linux_spawn_in_root(int mntns_fd, int root_fd, const char *cwd, int exe_fd, char *const argv[],
                             char *const envp[], const int stdio[3], pid_t *pid);

// Starts a program in a process group (session: a session) of its own, signal mask empty, dispositions default,
// descriptors stdio[0..2] as 0..2 and keep[i] as 3 + i, all others closed. die_with_us: SIGKILL when the calling
// thread ends, so that thread has to wait for it. cwd may be NULL.
int kina_linux_spawn(const char *path, char *const argv[], char *const envp[], const char *cwd, const int stdio[3],
                     const int *keep, int keep_count, int session, int die_with_us, pid_t *pid);

#pragma GCC visibility pop
#endif
