/* Lets one call on a file below FAULT_ROOT fail: preloaded (LD_PRELOAD) into a process under test.
   FAULT_CALL and FAULT_PATH (a pattern, relative to the root) say which, FAULT_NUMBER which of them,
   FAULT_HOW what happens: a number of errno, "short" or "kill"; the file FAULT_MARK is made as it
   happens. FAULT_LOG lists all such calls; "short" is possible where it says so. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { GO, FAIL, SHORT };
static atomic_long seen;
static int log_fd = -1;

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("FAULT_LOG");
    if (log) log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void mark(void) {
    const char *path = getenv("FAULT_MARK");
    if (path) syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT, 0644));
}

static int at_path(const char *call, const char *path, int can_be_short) {
    const char *root = getenv("FAULT_ROOT"), *which = getenv("FAULT_CALL"), *how = getenv("FAULT_HOW");
    size_t length = root ? strlen(root) : 0;
    if (!length || strncmp(path, root, length) || path[length] != '/') return GO;
    path += length + 1;
    if (log_fd >= 0) {
        char line[PATH_MAX + 32];
        const char *hint = can_be_short ? "short" : "whole";
        int size = snprintf(line, sizeof line, "%s %s %s\n", call, hint, path);
        syscall(SYS_write, log_fd, line, (size_t)size);
    }
    if (!which || strcmp(call, which) || fnmatch(getenv("FAULT_PATH"), path, 0)) return GO;
    if (atomic_fetch_add(&seen, 1) + 1 != atol(getenv("FAULT_NUMBER"))) return GO;
    if (!strcmp(how, "short") && !can_be_short) return GO;
    mark();
    if (!strcmp(how, "kill")) syscall(SYS_kill, getpid(), SIGKILL);
    if (!strcmp(how, "short")) return SHORT;
    errno = atoi(how);
    return FAIL;
}

static int at_file(const char *call, int fd, int can_be_short) {
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0) return GO;
    path[length] = 0;
    return at_path(call, path, can_be_short);
}

#define SIZED(call, number, ...)                                \
    int fault = at_file(call, fd, size > 1);                    \
    if (fault == FAIL) return -1;                               \
    if (fault == SHORT) size /= 2;                              \
    return syscall(number, fd, __VA_ARGS__)

ssize_t write(int fd, const void *from, size_t size) { SIZED("write", SYS_write, from, size); }
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
    SIZED("write", SYS_pwrite64, from, size, at);
}
ssize_t pwrite(int fd, const void *from, size_t size, off_t at) { return pwrite64(fd, from, size, at); }
ssize_t read(int fd, void *to, size_t size) { SIZED("read", SYS_read, to, size); }
ssize_t __read_chk(int fd, void *to, size_t size, size_t room) { return read(fd, to, size); }
ssize_t pread64(int fd, void *to, size_t size, off64_t at) { SIZED("read", SYS_pread64, to, size, at); }
ssize_t pread(int fd, void *to, size_t size, off_t at) { return pread64(fd, to, size, at); }
ssize_t __pread64_chk(int fd, void *to, size_t size, off64_t at, size_t room) {
    return pread64(fd, to, size, at);
}
ssize_t sendfile64(int fd, int from, off64_t *at, size_t size) {
    if (at_file("read", from, 0) == FAIL) return -1;
    SIZED("write", SYS_sendfile, from, at, size);
}
ssize_t sendfile(int fd, int from, off_t *at, size_t size) { return sendfile64(fd, from, at, size); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return at_file("write", fd, 0) == FAIL ? -1 : syscall(SYS_writev, fd, parts, count);
}
int fsync(int fd) { return at_file("fsync", fd, 0) == FAIL ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return at_file("fsync", fd, 0) == FAIL ? -1 : (int)syscall(SYS_fdatasync, fd); }
int rename(const char *from, const char *to) {
    if (at_path("rename", to, 0) == FAIL) return -1;
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    if (at_path("rename", to, 0) == FAIL) return -1;
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, 0);
}
