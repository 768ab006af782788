// Unix sockets that carry descriptors: ancillary data is all macros, which Swift does not see. Every function returns
// a count or 0, or -errno.
#ifndef KINA_SOCKET_H
#define KINA_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

// Nothing here is part of libkina's ABI.
#pragma GCC visibility push(hidden)

// At most so many descriptors come or go at once.
enum { KINA_SOCKET_DESCRIPTORS = 8 };

// A close-on-exec stream socket.
int kina_socket_create(void);
// Accepts a connection; its descriptor.
int kina_socket_accept(int listener);
// Sends at most count bytes, and with the first of them the descriptors. Never blocks (-EAGAIN), never raises SIGPIPE.
ssize_t kina_socket_send(int fd, const void *bytes, size_t count, const int *descriptors, int descriptor_count);
// Receives at most count bytes (0: the end) and, in descriptors[0 ..< KINA_SOCKET_DESCRIPTORS], what came with them.
// Never blocks (-EAGAIN). -EMFILE when a descriptor was lost: there were too many, or this process has no room.
ssize_t kina_socket_receive(int fd, void *bytes, size_t count, int *descriptors, int *descriptor_count);
// Who connected, or listens, at the other end. pid is 0 when it can't be seen from here.
int kina_socket_peer(int fd, uid_t *uid, pid_t *pid);

#pragma GCC visibility pop
#endif
