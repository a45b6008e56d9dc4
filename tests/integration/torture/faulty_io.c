/*
 * A disk that fails: preloaded into a process, it lets one operation on files below a directory go wrong.
 *
 * FAULTY_IO = "<directory>|<file of the counter>|<number>|<errno>|<mode>"; read anew at each operation, so that
 * a forked process can switch it on. <directory> may be a single file. All processes count together in the
 * first eight bytes of the counter's file. Mode "once": operation <number> fails; "rest": that one and all
 * that follow; "count": none. Mode "rights=<path>": operation <number> finds that file or directory without
 * any rights, and <errno> operations later it has them back (0: never); then it is the kernel that refuses.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Take all rights from a directory or file, or give them back. */
static void set_rights(const char *path, int given) {
    struct stat seen;
    if (NEXT(stat)(path, &seen)) return;
    NEXT(chmod)(path, !given ? 0 : S_ISDIR(seen.st_mode) ? 0755 : 0644);
}

static long *counter(const char *file) {
    static long *shared;
    static char known[PATH_MAX];
    if (shared && !strcmp(known, file)) return shared;
    int fd = NEXT(open)(file, O_RDWR);
    if (fd < 0) return NULL;
    shared = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    snprintf(known, sizeof known, "%s", file);
    return shared = shared == MAP_FAILED ? NULL : shared;
}

/* Return the error that an operation on this path shall have; 0 for none. */
static int fault(const char *path) {
    const char *setting = getenv("FAULTY_IO");
    if (!setting || !path) return 0;
    char text[2 * PATH_MAX], *part[5], *rest = text;
    snprintf(text, sizeof text, "%s", setting);
    for (int i = 0; i < 5; i++)
        if (!(part[i] = strsep(&rest, "|"))) return 0;
    size_t length = strlen(part[0]);
    if (strncmp(path, part[0], length) || (path[length] != '/' && path[length])) return 0;
    long *count = counter(part[1]);
    if (!count) return 0;
    long now = __sync_add_and_fetch(count, 1), wanted = atol(part[2]);
    if (!strncmp(part[4], "rights=", 7)) {
        int span = atoi(part[3]);
        if (now == wanted || (span && now == wanted + span)) set_rights(part[4] + 7, now != wanted);
        return 0;
    }
    int hit = !strcmp(part[4], "once") ? now == wanted : !strcmp(part[4], "rest") ? now >= wanted : 0;
    return hit ? atoi(part[3]) : 0;
}

static int fault_at(int dirfd, const char *path) {
    char whole[2 * PATH_MAX];
    if (path[0] == '/') return fault(path);
    ssize_t n;
    if (dirfd == AT_FDCWD) {
        if (!getcwd(whole, PATH_MAX)) return 0;
        n = strlen(whole);
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
        if ((n = readlink(link, whole, PATH_MAX - 1)) < 0) return 0;
    }
    snprintf(whole + n, sizeof whole - n, "/%s", path);
    return fault(whole);
}

static int fault_of(int fd) {
    if (!getenv("FAULTY_IO")) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return fault(path);
}

#define FAIL(test) do { int error = (test); if (error) { errno = error; return -1; } } while (0)

#define OPEN(name)                                                                    \
    int name(const char *path, int flags, ...) {                                      \
        mode_t mode = 0;                                                              \
        if (flags & (O_CREAT | O_TMPFILE)) {                                          \
            va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); \
        }                                                                             \
        FAIL(fault_at(AT_FDCWD, path));                                               \
        return NEXT(name)(path, flags, mode);                                         \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                  \
    int name(int dirfd, const char *path, int flags, ...) {                           \
        mode_t mode = 0;                                                              \
        if (flags & (O_CREAT | O_TMPFILE)) {                                          \
            va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); \
        }                                                                             \
        FAIL(fault_at(dirfd, path));                                                  \
        return NEXT(name)(dirfd, path, flags, mode);                                  \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t read(int fd, void *data, size_t n) { FAIL(fault_of(fd)); return NEXT(read)(fd, data, n); }
ssize_t pread(int fd, void *data, size_t n, off_t at) { FAIL(fault_of(fd)); return NEXT(pread)(fd, data, n, at); }
ssize_t pread64(int fd, void *data, size_t n, off64_t at) { FAIL(fault_of(fd)); return NEXT(pread64)(fd, data, n, at); }
ssize_t write(int fd, const void *data, size_t n) { FAIL(fault_of(fd)); return NEXT(write)(fd, data, n); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { FAIL(fault_of(fd)); return NEXT(pwrite)(fd, data, n, at); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    FAIL(fault_of(fd)); return NEXT(pwrite64)(fd, data, n, at);
}
int stat64(const char *path, struct stat64 *seen) { FAIL(fault_at(AT_FDCWD, path)); return NEXT(stat64)(path, seen); }
int lstat64(const char *path, struct stat64 *seen) { FAIL(fault_at(AT_FDCWD, path)); return NEXT(lstat64)(path, seen); }
int access(const char *path, int mode) { FAIL(fault_at(AT_FDCWD, path)); return NEXT(access)(path, mode); }
DIR *opendir(const char *path) {
    int error = fault_at(AT_FDCWD, path);
    if (!error) return NEXT(opendir)(path);
    errno = error;
    return NULL;
}
int unlink(const char *path) { FAIL(fault_at(AT_FDCWD, path)); return NEXT(unlink)(path); }
int fsync(int fd) { FAIL(fault_of(fd)); return NEXT(fsync)(fd); }
int ftruncate(int fd, off_t size) { FAIL(fault_of(fd)); return NEXT(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { FAIL(fault_of(fd)); return NEXT(ftruncate64)(fd, size); }
int rename(const char *from, const char *to) { FAIL(fault_at(AT_FDCWD, to)); return NEXT(rename)(from, to); }
int mkdir(const char *path, mode_t mode) { FAIL(fault_at(AT_FDCWD, path)); return NEXT(mkdir)(path, mode); }
