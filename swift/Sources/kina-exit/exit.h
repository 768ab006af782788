// The parts of kina-exit.
#ifndef KINA_EXIT_H
#define KINA_EXIT_H

// Says what failed with errno; the exit code for that.
int fail(const char *what);
// Has libkina end and forget a process that an exec started.
int end_process(const char *home, const char *container, const char *process);
// Has libkina delete a container, running or not.
int delete_container(const char *home, const char *container);
// supervise.c
int run_container(const char *home, const char *container, const char *exit_file, const char *pid_file, int terminal,
                  char **command);
int exec_process(const char *home, const char *container, const char *process, const char *pid_file, int terminal,
                 char **command);

#endif
