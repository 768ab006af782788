/*
 * kina.h: the contract between libkina and everything above it, and the only one.
 *
 * The library's implementation (Swift, `@c @implementation`), the cffi bindings (which read the marked region
 * below as their cdef) and the tests all compile against this file.
 *
 * Threads     Every function blocks until it is done and may be called from any thread, any number at a time.
 *             The library keeps no thread of its own while no call is under way, installs no signal handler and
 *             waits only for children that it started itself.
 * fork        A handle opened before fork(2) answers KINA_FAILED_PRECONDITION in the child; open a new runtime there.
 * Ownership   A handle is released by its own `_release` function, which accepts NULL and stale handles. Releasing
 *             frees memory only: no container, image, network or volume ever goes with it. A stale, foreign or NULL
 *             handle is an error (KINA_FAILED_PRECONDITION, KINA_INVALID_ARGUMENT), never undefined behaviour.
 *             `char **` results are the caller's, freed with kina_string_free; `kina_error_t **` with
 *             kina_error_release. Strings and structs passed in are only read, and only during the call.
 *             File descriptors passed in are borrowed: the library duplicates what it keeps; the caller closes its
 *             own at any time after the call has returned. -1 stands for none (/dev/null).
 * Results     A function returns KINA_OK, or a code with the same code, a message and (often) a hint in *error. Out
 *             parameters are written on success only; each may be NULL when the result is not wanted.
 * Calls       `call` bounds one function call: a deadline, a cancellation from another thread, a descriptor that
 *             receives progress events as JSON lines. NULL: no deadline, no cancellation, no progress. When it
 *             ends a function early (KINA_CANCELLED, KINA_DEADLINE_EXCEEDED), what that function had begun is
 *             undone before it returns.
 * Documents   Specs, statuses and filters are UTF-8 JSON objects (RFC 8259). Their types are declared once, in
 *             KinaCore (ContainerSpec, ContainerStatus, ProcessSpec, ExitStatus, ImageStatus, NetworkSpec, …), and
 *             named in the comments below. An unknown field is an error that names it. Times are nanoseconds since
 *             the Unix epoch, sizes bytes.
 * Names       A `reference` to a container, network, pod or volume is its name, its id, or an unambiguous prefix of its
 *             id of at least four characters.
 * Versions    kina_abi_version() is MAJOR * 1000 + MINOR. Additions are a minor bump, anything else a major one.
 */
#ifndef KINA_H
#define KINA_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cdef: begin */
#define KINA_ABI_VERSION 1002

/* gRPC's canonical status codes (https://grpc.io/docs/guides/status-codes/). */
typedef enum kina_code {
    KINA_OK = 0,
    KINA_CANCELLED = 1,
    KINA_UNKNOWN = 2,
    KINA_INVALID_ARGUMENT = 3,
    KINA_DEADLINE_EXCEEDED = 4,
    KINA_NOT_FOUND = 5,
    KINA_ALREADY_EXISTS = 6,
    KINA_PERMISSION_DENIED = 7,
    KINA_RESOURCE_EXHAUSTED = 8,
    KINA_FAILED_PRECONDITION = 9,
    KINA_ABORTED = 10,
    KINA_OUT_OF_RANGE = 11,
    KINA_UNIMPLEMENTED = 12,
    KINA_INTERNAL = 13,
    KINA_UNAVAILABLE = 14,
    KINA_DATA_LOSS = 15,
    KINA_UNAUTHENTICATED = 16
} kina_code_t;

/* `message` is never NULL; `hint` (what the user can do) and `details` (a JSON object of strings: "field",
 * "value", "exitCode", "cause", …) may be. */
typedef struct kina_error {
    int32_t code;
    char *message;
    char *hint;
    char *details;
} kina_error_t;

typedef struct kina_runtime kina_runtime_t;
typedef struct kina_call kina_call_t;

/* One sample. `valid` has a bit for each figure that could be read; an absent figure is masked, never just 0.
 * `timestamp_ns` is CLOCK_MONOTONIC. New fields go to the end; `size` is what the library filled. */
#define KINA_STATISTICS_VERSION 1
#define KINA_STATISTICS_CPU 0x1
#define KINA_STATISTICS_CPU_MODES 0x2
#define KINA_STATISTICS_MEMORY 0x4
#define KINA_STATISTICS_MEMORY_LIMIT 0x8
#define KINA_STATISTICS_PIDS 0x10
#define KINA_STATISTICS_PIDS_LIMIT 0x20
#define KINA_STATISTICS_NETWORK 0x40
#define KINA_STATISTICS_BLOCK_IO 0x80
#define KINA_STATISTICS_OOM_KILLS 0x100
typedef struct kina_statistics {
    uint32_t size;
    uint32_t version;
    uint64_t valid;
    uint64_t timestamp_ns;
    uint64_t cpu_ns;
    uint64_t cpu_user_ns;
    uint64_t cpu_system_ns;
    uint64_t memory_bytes;
    uint64_t memory_working_set_bytes;
    uint64_t memory_limit_bytes;
    uint64_t pids;
    uint64_t pids_limit;
    uint64_t network_rx_bytes;
    uint64_t network_tx_bytes;
    uint64_t network_rx_packets;
    uint64_t network_tx_packets;
    uint64_t block_read_bytes;
    uint64_t block_write_bytes;
    uint64_t oom_kills;
} kina_statistics_t;

/* The ABI that this library implements; compare its thousands with KINA_ABI_VERSION / 1000. */
int32_t kina_abi_version(void);
/* Frees a string that a function of this library returned; NULL is fine. */
void kina_string_free(char *string);
/* Frees an error and its strings; NULL is fine. */
void kina_error_release(kina_error_t *error);

/* -- Calls ------------------------------------------------------------------------------------------------------ */

/* A call that ends after timeout_ms (negative: never) and writes progress (ProgressEvent, a JSON line each) to
 * progress_fd (-1: nowhere; a full pipe loses events rather than block). One call may bound several functions. */
kina_call_t *kina_call_create(int64_t timeout_ms, int32_t progress_fd);
/* Asks every function under way with this call to stop. Returns at once; safe from any thread, more than once. */
void kina_call_cancel(kina_call_t *call);
void kina_call_release(kina_call_t *call);

/* -- The runtime ------------------------------------------------------------------------------------------------ */

/* Opens the state in KINA_HOME (RuntimeOptions: home, backend, ociRuntime, …) and reconciles it with what runs. With
 * backend "remote" another process does the work, which is started when it is needed. Codes: PERMISSION_DENIED, UNAVAILABLE (a missing tool; the hint names its package), INVALID_ARGUMENT. */
kina_code_t kina_runtime_open(const char *options, kina_runtime_t **runtime, kina_error_t **error);
/* Says what is usable on this machine (Report), without opening anything. Needs no privilege. */
kina_code_t kina_runtime_doctor(const char *options, char **report, kina_error_t **error);
/* What was opened (RuntimeInfo). Never blocks. */
kina_code_t kina_runtime_info(kina_runtime_t *runtime, char **info, kina_error_t **error);
/* Writes events (Event, a JSON line each) to fd until the call ends or the reader is gone; that is KINA_OK for the
 * latter. EventFilter: since, until, kinds, references. */
kina_code_t kina_runtime_events(kina_runtime_t *runtime, kina_call_t *call, const char *filter, int32_t fd,
                                kina_error_t **error);
/* Deletes what is unused (PruneRequest: containers, images, networks, volumes) and what a crash left; answers
 * PruneResult. */
kina_code_t kina_runtime_prune(kina_runtime_t *runtime, kina_call_t *call, const char *request, char **result,
                               kina_error_t **error);
void kina_runtime_release(kina_runtime_t *runtime);
/* For kina's own server program, kina-vmd: serves the runtime of these options on a socket in the home's run directory,
 * to programs of the same user, until it has had no client for a while or stop_fd (-1: never) is readable. Needs a
 * process of its own. One line goes to ready_fd (-1: nowhere), which is then closed: {} when it serves, or the error.
 * Codes: ALREADY_EXISTS (this home is served already), and those of kina_runtime_open. */
kina_code_t kina_server_run(const char *options, int32_t ready_fd, int32_t stop_fd, kina_error_t **error);

/* -- Images ----------------------------------------------------------------------------------------------------- */

/* ImagePullRequest → ImageStatus. Progress: layers and bytes. Codes: NOT_FOUND, UNAUTHENTICATED, UNAVAILABLE,
 * DATA_LOSS (a digest does not match), RESOURCE_EXHAUSTED. */
kina_code_t kina_image_pull(kina_runtime_t *runtime, kina_call_t *call, const char *request, char **status,
                            kina_error_t **error);
/* ImagePushRequest. */
kina_code_t kina_image_push(kina_runtime_t *runtime, kina_call_t *call, const char *request, kina_error_t **error);
/* Reads a Docker or OCI archive (optionally compressed) from fd, a file or a pipe (ImageLoadRequest) → ImageList. */
kina_code_t kina_image_load(kina_runtime_t *runtime, kina_call_t *call, const char *request, int32_t fd,
                            char **images, kina_error_t **error);
/* Writes an archive (ImageSaveRequest: references, format) to fd. */
kina_code_t kina_image_save(kina_runtime_t *runtime, kina_call_t *call, const char *request, int32_t fd,
                            kina_error_t **error);
/* Makes an image of one layer from a tar on fd, or from request.directory when fd is -1 (ImageImportRequest)
 * → ImageStatus. */
kina_code_t kina_image_import(kina_runtime_t *runtime, kina_call_t *call, const char *request, int32_t fd,
                              char **status, kina_error_t **error);
/* Gives the image `source` the further reference `target` → ImageStatus. */
kina_code_t kina_image_tag(kina_runtime_t *runtime, const char *source, const char *target, char **status,
                           kina_error_t **error);
/* → ImageStatus with its configuration. */
kina_code_t kina_image_get(kina_runtime_t *runtime, const char *reference, char **status, kina_error_t **error);
/* → ImageList. */
kina_code_t kina_image_list(kina_runtime_t *runtime, char **images, kina_error_t **error);
/* Removes one reference; blobs and unpacked trees that nothing else uses go too. FAILED_PRECONDITION while a
 * container uses it, unless force (containers keep what they use). */
kina_code_t kina_image_delete(kina_runtime_t *runtime, kina_call_t *call, const char *reference, int32_t force,
                              kina_error_t **error);

/* -- Networks and volumes --------------------------------------------------------------------------------------- */

/* NetworkSpec → NetworkStatus. */
kina_code_t kina_network_create(kina_runtime_t *runtime, kina_call_t *call, const char *spec, char **status,
                                kina_error_t **error);
/* → NetworkList; `reference` (may be NULL) names one, which must exist. */
kina_code_t kina_network_list(kina_runtime_t *runtime, const char *reference, char **networks, kina_error_t **error);
/* FAILED_PRECONDITION while a container is on it. */
kina_code_t kina_network_delete(kina_runtime_t *runtime, kina_call_t *call, const char *reference,
                                kina_error_t **error);
/* VolumeSpec → VolumeStatus. */
kina_code_t kina_volume_create(kina_runtime_t *runtime, kina_call_t *call, const char *spec, char **status,
                               kina_error_t **error);
/* → VolumeList; `reference` (may be NULL) names one, which must exist. */
kina_code_t kina_volume_list(kina_runtime_t *runtime, const char *reference, char **volumes, kina_error_t **error);
/* FAILED_PRECONDITION while a container mounts it. */
kina_code_t kina_volume_delete(kina_runtime_t *runtime, kina_call_t *call, const char *reference,
                               kina_error_t **error);

/* -- Pods: sandboxes that several containers share ---------------------------------------------------------------- */

/* PodSpec → PodStatus, brought up: containers whose spec.pod names it can be started in it. ALREADY_EXISTS: the name is
 * taken. */
kina_code_t kina_pod_create(kina_runtime_t *runtime, kina_call_t *call, const char *spec, char **status,
                            kina_error_t **error);
/* Brings it up again, as the start of a container in it does; its containers are started one by one → PodStatus. */
kina_code_t kina_pod_start(kina_runtime_t *runtime, kina_call_t *call, const char *reference, char **status,
                           kina_error_t **error);
/* Stops its containers as kina_container_stop does, then the sandbox → PodStatus. Addresses and ports stay its own. */
kina_code_t kina_pod_stop(kina_runtime_t *runtime, kina_call_t *call, const char *reference, int64_t timeout_ms,
                          char **status, kina_error_t **error);
/* With its containers. FAILED_PRECONDITION while one runs, unless force. */
kina_code_t kina_pod_delete(kina_runtime_t *runtime, kina_call_t *call, const char *reference, int32_t force,
                            kina_error_t **error);
/* → PodList; `reference` (may be NULL) names one, which must exist. */
kina_code_t kina_pod_list(kina_runtime_t *runtime, const char *reference, char **pods, kina_error_t **error);

/* -- Containers ------------------------------------------------------------------------------------------------- */

/* ContainerSpec → ContainerStatus. Pulls the image as spec.pullPolicy says. ALREADY_EXISTS: the name is taken. */
kina_code_t kina_container_create(kina_runtime_t *runtime, kina_call_t *call, const char *spec, char **status,
                                  kina_error_t **error);
/* → ContainerStatus. FAILED_PRECONDITION when it runs already; NOT_FOUND with details.exitCode "127" when the
 * command is not in the image, PERMISSION_DENIED with "126" when it can't be executed. */
kina_code_t kina_container_start(kina_runtime_t *runtime, kina_call_t *call, const char *reference, char **status,
                                 kina_error_t **error);
/* The stop signal, then KILL after timeout_ms (negative: the spec's own); → ContainerStatus. What does not run is
 * left as it is. */
kina_code_t kina_container_stop(kina_runtime_t *runtime, kina_call_t *call, const char *reference,
                                int64_t timeout_ms, char **status, kina_error_t **error);
kina_code_t kina_container_pause(kina_runtime_t *runtime, kina_call_t *call, const char *reference, char **status,
                                 kina_error_t **error);
kina_code_t kina_container_resume(kina_runtime_t *runtime, kina_call_t *call, const char *reference, char **status,
                                  kina_error_t **error);
/* ResourcesSpec: only the fields present change, live where it runs → ContainerStatus. */
kina_code_t kina_container_update(kina_runtime_t *runtime, kina_call_t *call, const char *reference,
                                  const char *resources, char **status, kina_error_t **error);
/* FAILED_PRECONDITION while it runs, unless force. */
kina_code_t kina_container_delete(kina_runtime_t *runtime, kina_call_t *call, const char *reference, int32_t force,
                                  kina_error_t **error);
/* → ContainerStatus with its spec. */
kina_code_t kina_container_get(kina_runtime_t *runtime, const char *reference, char **status, kina_error_t **error);
/* ContainerFilter (NULL: all): labels, states, names → ContainerList, without specs. */
kina_code_t kina_container_list(kina_runtime_t *runtime, const char *filter, char **containers,
                                kina_error_t **error);
/* Creates, runs to the end and deletes a container whose streams are these descriptors → ExitStatus. The short way:
 * no supervisor and no log. When the caller dies, the container is killed. */
kina_code_t kina_container_run(kina_runtime_t *runtime, kina_call_t *call, const char *spec, int32_t stdin_fd,
                               int32_t stdout_fd, int32_t stderr_fd, char **exit_status, kina_error_t **error);
/* Writes the log to the descriptors (LogRequest: follow, since, until, tail, timestamps, streams); with follow until
 * the container ends. */
kina_code_t kina_container_logs(kina_runtime_t *runtime, kina_call_t *call, const char *reference,
                                const char *request, int32_t stdout_fd, int32_t stderr_fd, kina_error_t **error);
/* Connects the descriptors with the container's streams until it ends, the call ends, or stdin ends with nothing to
 * write to. With a terminal, all output goes to stdout_fd. */
kina_code_t kina_container_attach(kina_runtime_t *runtime, kina_call_t *call, const char *reference,
                                  int32_t stdin_fd, int32_t stdout_fd, int32_t stderr_fd, kina_error_t **error);
/* Unpacks a tar from fd in the container's directory `path`, which must exist. Never leaves the container's root. */
kina_code_t kina_container_copy_in(kina_runtime_t *runtime, kina_call_t *call, const char *reference,
                                   const char *path, int32_t fd, kina_error_t **error);
/* Packs `path` into a tar on fd; its one top entry is the last component of the path. */
kina_code_t kina_container_copy_out(kina_runtime_t *runtime, kina_call_t *call, const char *reference,
                                    const char *path, int32_t fd, kina_error_t **error);
/* Fills samples[0 ..< capacity], one each interval_ns, until full, the container's end or the call's; *count says
 * how many, and an early end is KINA_OK when there is at least one. */
kina_code_t kina_container_statistics(kina_runtime_t *runtime, kina_call_t *call, const char *reference,
                                      int64_t interval_ns, kina_statistics_t *samples, int64_t capacity,
                                      int64_t *count, kina_error_t **error);
/* For kina's own exit program, which the container's supervisor starts: records an exit and cleans up after it. */
kina_code_t kina_container_exited(kina_runtime_t *runtime, const char *id, kina_error_t **error);

/* -- Processes -------------------------------------------------------------------------------------------------- */

/* Starts a process (ProcessSpec) in a running container; its id goes to *process. With spec.terminal the
 * descriptors must be one terminal's. spec.timeoutMs ends it, and its children, in the container. */
kina_code_t kina_process_create(kina_runtime_t *runtime, kina_call_t *call, const char *container, const char *spec,
                                int32_t stdin_fd, int32_t stdout_fd, int32_t stderr_fd, char **process,
                                kina_error_t **error);
/* Waits for a process, or with process NULL for the container's own → ExitStatus. A process that kina_process_create
 * started is waited for in the program that started it, and forgotten by kina_process_delete. */
kina_code_t kina_process_wait(kina_runtime_t *runtime, kina_call_t *call, const char *container, const char *process,
                              char **exit_status, kina_error_t **error);
/* Sends a signal ("TERM", "SIGTERM" or "15") to a process, or with process NULL to the container's own. */
kina_code_t kina_process_kill(kina_runtime_t *runtime, kina_call_t *call, const char *container, const char *process,
                              const char *signal, kina_error_t **error);
/* Sets the size of a terminal, in characters. */
kina_code_t kina_process_resize(kina_runtime_t *runtime, const char *container, const char *process, int32_t rows,
                                int32_t columns, kina_error_t **error);
/* Ends the process and all its children if it still runs, and forgets it. */
kina_code_t kina_process_delete(kina_runtime_t *runtime, const char *container, const char *process,
                                kina_error_t **error);
/* cdef: end */

#ifdef __cplusplus
}
#endif

#endif
