/* A wall clock of a program's own: preloaded, it adds the seconds that a file holds to what the kernel says.
 *
 * The monotonic clock is left alone. Waits until a time of day are translated back, since the kernel ends them by its
 * own clock: without that, an hour's jump would make a thread wait for an hour.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;
static const int64_t EARLIEST_TIME_OF_DAY = 1000000000; /* below it are seconds since the machine's start */

__attribute__((constructor)) static void map_offset(void) {
  const char *path = getenv("TEST_WALL_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
  if (mapped != MAP_FAILED) ahead = mapped;
  close(file);
}

static int64_t offset(void) { return ahead ? *ahead : 0; }

static long system_call(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  if (result < 0 && result > -4096) {
    errno = (int)-result;
    return -1;
  }
  return result;
}

static int is_time_of_day(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

static const struct timespec *to_kernel(const struct timespec *until, struct timespec *translated) {
  if (!until || until->tv_sec < EARLIEST_TIME_OF_DAY) return until;
  *translated = *until;
  translated->tv_sec -= offset();
  return translated;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*next)(clockid_t, struct timespec *);
  if (!next) next = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = next(clock, now);
  if (!failed && is_time_of_day(clock)) now->tv_sec += offset();
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec precise;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  struct timespec translated;
  if (!next) next = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  return next(cond, mutex, to_kernel(until, &translated));
}

int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict until) {
  static int (*next)(sem_t *, const struct timespec *);
  struct timespec translated;
  if (!next) next = dlsym(RTLD_NEXT, "sem_timedwait");
  return next(sem, to_kernel(until, &translated));
}

/* Abseil waits on futexes by this function. */
long syscall(long number, ...) {
  va_list given;
  va_start(given, number);
  long a = va_arg(given, long), b = va_arg(given, long), c = va_arg(given, long);
  long d = va_arg(given, long), e = va_arg(given, long), f = va_arg(given, long);
  va_end(given);
  struct timespec translated;
  if (number == SYS_futex && (b & FUTEX_CLOCK_REALTIME)) d = (long)to_kernel((const struct timespec *)d, &translated);
  return system_call(number, a, b, c, d, e, f);
}
