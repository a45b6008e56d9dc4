/*
 * A network file system whose answers are late or old: preloaded into a process, it changes what that process
 * is told about files; the files themselves are left alone, except that one may be taken away.
 *
 * STALE_VIEW = "<directory>|<file of the counter>|<number>|<mode>|<name>|<errno>"; read anew each time. All
 * processes count together in the first eight bytes of the counter's file.
 *   slow    each entry of a listing in or below the directory takes <number> microseconds.
 *   hidden  the first <number> listings of the directory do not show entries with <name> in their names.
 *   absent  the first <number> looks at a file of that kind in or below the directory, by its status or by
 *           opening it, end with <errno>, although listings show it.
 *   old     the first <number> answers about the status of such a file are from when it was half as long.
 *   vanish  such an entry is moved to "<file of the counter>.away" when listing <number> of the directory ends.
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
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MAX_LISTINGS 16

struct setting { char text[2 * PATH_MAX], *directory, *counter, *mode, *name; long number; int error; };
struct listing { DIR *stream; int slow, hides, takes; char found[PATH_MAX]; };
static struct listing listings[MAX_LISTINGS];

static int read_setting(struct setting *set) {
    const char *given = getenv("STALE_VIEW");
    if (!given) return 0;
    snprintf(set->text, sizeof set->text, "%s", given);
    char *rest = set->text, *part[6];
    for (int i = 0; i < 6; i++)
        if (!(part[i] = strsep(&rest, "|"))) return 0;
    set->directory = part[0], set->counter = part[1], set->mode = part[3], set->name = part[4];
    set->number = atol(part[2]), set->error = atoi(part[5]);
    return 1;
}

static int is_mode(const struct setting *set, const char *mode) { return !strcmp(set->mode, mode); }

static int is_below(const struct setting *set, const char *path) {
    size_t length = strlen(set->directory);
    return path && !strncmp(path, set->directory, length) && (!path[length] || path[length] == '/');
}

static long counted(const struct setting *set) {
    int fd = NEXT(open)(set->counter, O_RDWR);
    if (fd < 0) return LONG_MAX;
    long *shared = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), now = LONG_MAX;
    close(fd);
    if (shared == MAP_FAILED) return now;
    now = __sync_add_and_fetch(shared, 1);
    munmap(shared, sizeof(long));
    return now;
}

/* Whether a path is of the kind whose status is told wrongly; part files have the names of products, too. */
static int is_meant(const struct setting *set, const char *path) {
    const char *name = path ? strrchr(path, '/') : NULL;
    return name && name[1] != '.' && strstr(name + 1, set->name) && is_below(set, path);
}

/* Return the error that a look at this file shall have; 0 for none. */
static int absence(const char *path) {
    struct setting set;
    struct stat seen;
    if (!read_setting(&set) || !is_mode(&set, "absent") || !is_meant(&set, path)) return 0;
    if (NEXT(stat)(path, &seen)) return 0;
    return counted(&set) <= set.number ? set.error : 0;
}

static void make_old(const char *path, struct stat64 *seen) {
    struct setting set;
    if (!read_setting(&set) || !is_mode(&set, "old") || !is_meant(&set, path)) return;
    if (counted(&set) > set.number) return;
    seen->st_size /= 2;
    seen->st_mtim.tv_sec -= 60;
}

#define FAIL(test) do { int error = (test); if (error) { errno = error; return -1; } } while (0)

#define STAT(name)                                                                    \
    int name(const char *path, struct stat64 *seen) {                                 \
        FAIL(absence(path));                                                          \
        int status = NEXT(name)(path, seen);                                          \
        if (!status) make_old(path, seen);                                            \
        return status;                                                                \
    }
STAT(stat64)
STAT(lstat64)

#define OPEN(name)                                                                    \
    int name(const char *path, int flags, ...) {                                      \
        mode_t mode = 0;                                                              \
        if (flags & (O_CREAT | O_TMPFILE)) {                                          \
            va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); \
        } else {                                                                      \
            FAIL(absence(path));                                                      \
        }                                                                             \
        return NEXT(name)(path, flags, mode);                                         \
    }
OPEN(open)
OPEN(open64)

static struct listing *known(DIR *stream) {
    for (int i = 0; i < MAX_LISTINGS; i++)
        if (listings[i].stream == stream) return &listings[i];
    return NULL;
}

DIR *opendir(const char *path) {
    struct setting set;
    DIR *stream = NEXT(opendir)(path);
    if (!stream || !read_setting(&set) || !is_below(&set, path)) return stream;
    struct listing *listing = known(NULL);
    if (!listing) return stream;
    int here = !strcmp(path, set.directory);
    *listing = (struct listing){.stream = stream, .slow = is_mode(&set, "slow")};
    if (here && is_mode(&set, "hidden")) listing->hides = counted(&set) <= set.number;
    if (here && is_mode(&set, "vanish")) listing->takes = counted(&set) == set.number;
    return stream;
}

struct dirent64 *readdir64(DIR *stream) {
    struct dirent64 *entry = NEXT(readdir64)(stream);
    struct listing *listing = known(stream);
    struct setting set;
    if (!listing || !read_setting(&set)) return entry;
    if (listing->slow) usleep(set.number);
    while (listing->hides && entry && strstr(entry->d_name, set.name)) entry = NEXT(readdir64)(stream);
    if (listing->takes && entry && strstr(entry->d_name, set.name))
        snprintf(listing->found, sizeof listing->found, "%s/%s", set.directory, entry->d_name);
    return entry;
}

int closedir(DIR *stream) {
    struct listing *listing = known(stream);
    struct setting set;
    if (listing && listing->takes && listing->found[0] && read_setting(&set)) {
        char away[2 * PATH_MAX];
        snprintf(away, sizeof away, "%s.away", set.counter);
        NEXT(rename)(listing->found, away);
    }
    if (listing) listing->stream = NULL;
    return NEXT(closedir)(stream);
}
