/* A disk that fails on demand, loaded before a database server (LD_PRELOAD): for files whose name ends in conf.db the calls named
 * in the file FAULTS fail. It has "CALL ERRNO HALF": with HALF a write writes half of what it was given before it fails, and
 * with ERRNO 0 it says so as a short write. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fault(int fd, const char *call, int *half) {
    char link[64], path[512], name[32];
    int number = -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 7 || strncmp(path + n - 7, "conf.db", 7)) return -1;
    const char *faults = getenv("FAULTS");
    FILE *file = faults ? fopen(faults, "r") : NULL;
    if (!file) return -1;
    while (fscanf(file, "%31s %d %d", name, &number, half) == 3) {
        if (!strcmp(name, call)) {
            fclose(file);
            return number;
        }
    }
    fclose(file);
    return -1;
}

ssize_t pwrite64(int fd, const void *data, size_t n, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    static int halved;
    if (!real) real = (ssize_t (*)(int, const void *, size_t, off_t)) dlsym(RTLD_NEXT, "pwrite64");
    int half = 0, number = fault(fd, "pwrite", &half);
    if (number < 0) return real(fd, data, n, at);
    if (half && n > 1 && !halved) {
        /* what follows a half is all or nothing */
        halved = number != 0;
        return real(fd, data, n / 2, at);
    }
    halved = 0;
    if (number == 0) return real(fd, data, n, at);
    errno = number;
    return -1;
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
    int half = 0, number = fault(fd, "fdatasync", &half);
    if (number < 0) return real(fd);
    errno = number;
    return -1;
}

int ftruncate64(int fd, off_t length) {
    static int (*real)(int, off_t);
    if (!real) real = (int (*)(int, off_t)) dlsym(RTLD_NEXT, "ftruncate64");
    int half = 0, number = fault(fd, "ftruncate", &half);
    if (number < 0) return real(fd, length);
    errno = number;
    return -1;
}
