#define _GNU_SOURCE
#include "kina_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

// What Linux does at once, macOS does in two steps.
#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static ssize_t checked(ssize_t result) { return result < 0 ? -errno : result; }

static int prepared(int fd) {
    if (fd < 0) return -errno;
#ifdef SO_NOSIGPIPE
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

#ifdef SOCK_CLOEXEC
int kina_socket_create(void) { return prepared(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
int kina_socket_accept(int listener) { return prepared(accept4(listener, NULL, NULL, SOCK_CLOEXEC)); }
#else
int kina_socket_create(void) { return prepared(socket(AF_UNIX, SOCK_STREAM, 0)); }
int kina_socket_accept(int listener) { return prepared(accept(listener, NULL, NULL)); }
#endif

union control {
    struct cmsghdr header;  // for its alignment
    char room[CMSG_SPACE(KINA_SOCKET_DESCRIPTORS * sizeof(int))];
};

ssize_t kina_socket_send(int fd, const void *bytes, size_t count, const int *descriptors, int descriptor_count) {
    struct iovec data = {(void *)bytes, count};
    union control control = {0};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (descriptor_count > KINA_SOCKET_DESCRIPTORS) return -E2BIG;
    if (descriptor_count > 0) {
        size_t size = (size_t)descriptor_count * sizeof(int);
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(header), descriptors, size);
    }
    return checked(sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

ssize_t kina_socket_receive(int fd, void *bytes, size_t count, int *descriptors, int *descriptor_count) {
    struct iovec data = {bytes, count};
    union control control;
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    *descriptor_count = 0;
    ssize_t received = checked(recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
    if (received < 0) return received;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        int arrived = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < arrived && *descriptor_count < KINA_SOCKET_DESCRIPTORS; i++) {
            int one;
            memcpy(&one, CMSG_DATA(header) + (size_t)i * sizeof one, sizeof one);
            if (!MSG_CMSG_CLOEXEC) fcntl(one, F_SETFD, FD_CLOEXEC);
            descriptors[(*descriptor_count)++] = one;
        }
    }
    if (!(message.msg_flags & MSG_CTRUNC)) return received;
    for (int i = 0; i < *descriptor_count; i++) close(descriptors[i]);
    *descriptor_count = 0;
    return -EMFILE;
}

int kina_socket_peer(int fd, uid_t *uid, pid_t *pid) {
#ifdef __linux__
    struct ucred who;
    socklen_t size = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0) return -errno;
    *uid = who.uid;
    *pid = who.pid;
#else
    gid_t gid;
    socklen_t size = sizeof *pid;
    if (getpeereid(fd, uid, &gid) < 0) return -errno;
    if (getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, pid, &size) < 0) *pid = 0;
#endif
    return 0;
}
