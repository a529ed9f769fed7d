/* Moves the realtime clock of one process: preloaded into all processes of a service under chaos, it adds the seconds
 * in the file $CHAOS_CLOCK/<pid>, once that file is there. Monotonic clocks stay as they are, as in a machine whose
 * clock is set. (libfaketime 0.9.10 lets Python's time.sleep fail with EINVAL.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LOOK_EVERY 1 /* seconds */

typedef int (*clock_gettime_t)(clockid_t, struct timespec *);

static clock_gettime_t real_clock_gettime;
static __thread int is_looking; /* what fopen needs may ask for the time itself */
static volatile time_t looked_at;
static volatile long offset;

static clock_gettime_t real(void) {
    if (!real_clock_gettime)
        real_clock_gettime = (clock_gettime_t)dlsym(RTLD_NEXT, "clock_gettime");
    return real_clock_gettime;
}

static void look(void) {
    struct timespec now;
    const char *folder;
    char path[512];
    long read_offset = 0;
    FILE *file;
    real()(CLOCK_MONOTONIC, &now);
    if (is_looking || now.tv_sec < looked_at + LOOK_EVERY)
        return;
    looked_at = now.tv_sec;
    is_looking = 1;
    folder = getenv("CHAOS_CLOCK");
    snprintf(path, sizeof path, "%s/%d", folder ? folder : "", (int)getpid());
    file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%ld", &read_offset) != 1)
            read_offset = 0;
        fclose(file);
    }
    offset = read_offset;
    is_looking = 0;
}

int clock_gettime(clockid_t clock, struct timespec *result) {
    int code = real()(clock, result);
    if (code == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        look();
        result->tv_sec += offset;
    }
    return code;
}

int gettimeofday(struct timeval *restrict result, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    result->tv_sec = now.tv_sec;
    result->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}
