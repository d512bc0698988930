// Faults in calls of the operating system: loaded before the C library's own functions (LD_PRELOAD), it counts the
// calls that change files of one folder, and at one of them kills the process, or makes the call fail.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST_FILES = 4096 };
enum action { COUNT, KILL, TEAR, FAIL, SHORTEN };  // TEAR: half of a write is done, and the process killed

static struct {
  char folder[PATH_MAX];
  long call;     // from 1; 0 for none
  enum action action;
  int error;
  int lasting;   // whether all calls after it fail too
  int log;       // a file, for one line a call
  _Atomic long count;
} plan = {.log = -1};

static char *names[MOST_FILES];  // the open files of the folder, by descriptor
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void faults_arm(const char *folder, long call, int action, int error, int lasting, const char *log) {
  snprintf(plan.folder, sizeof plan.folder, "%s", folder);
  plan.log = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  plan.call = call, plan.action = (enum action)action, plan.error = error, plan.lasting = lasting;
}

static int inside(const char *path) {
  size_t length = strlen(plan.folder);
  return length && path && !strncmp(path, plan.folder, length) && (path[length] == '/' || !path[length]);
}

static const char *name_of(int descriptor) {
  return descriptor >= 0 && descriptor < MOST_FILES ? names[descriptor] : NULL;
}

// What is to happen to this call: COUNT for nothing.
static enum action meet(const char *call, const char *path, int grows) {
  long number = atomic_fetch_add(&plan.count, 1) + 1;
  char line[PATH_MAX + 64];
  int length = snprintf(line, sizeof line, "%ld %s %s\n", number, call, path + strlen(plan.folder));
  if (plan.log >= 0 && REAL(write)(plan.log, line, (size_t)length) < 0) abort();
  if (!plan.call || plan.action == COUNT) return COUNT;
  if (number == plan.call) {
    if (plan.action == KILL) raise(SIGKILL);
    return plan.action;
  }
  // A disk that is full still forgets, renames and flushes.
  return plan.lasting && number > plan.call && (grows || plan.error != ENOSPC) ? FAIL : COUNT;
}

static int refused(const char *call, const char *path, int grows) {
  if (!inside(path) || meet(call, path, grows) != FAIL) return 0;
  errno = plan.error;
  return 1;
}

static int opened(int descriptor, const char *path) {
  if (descriptor >= 0 && descriptor < MOST_FILES && inside(path)) {
    pthread_mutex_lock(&guard);
    free(names[descriptor]);
    names[descriptor] = strdup(path);
    pthread_mutex_unlock(&guard);
  }
  return descriptor;
}

// Opening is counted where it may change something.
#define OPEN(name)                                                                            \
  int name(const char *path, int flags, ...) {                                                \
    va_list rest;                                                                             \
    va_start(rest, flags);                                                                    \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                   \
    va_end(rest);                                                                             \
    if (flags & (O_WRONLY | O_RDWR) && refused(#name, path, !!(flags & O_CREAT))) return -1;  \
    return opened(REAL(name)(path, flags, mode), path);                                       \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                          \
  int name(int folder, const char *path, int flags, ...) {                                    \
    va_list rest;                                                                             \
    va_start(rest, flags);                                                                    \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                   \
    va_end(rest);                                                                             \
    if (flags & (O_WRONLY | O_RDWR) && refused(#name, path, !!(flags & O_CREAT))) return -1;  \
    return opened(REAL(name)(folder, path, flags, mode), path);                               \
  }
OPENAT(openat)
OPENAT(openat64)

int close(int descriptor) {
  if (name_of(descriptor)) {
    pthread_mutex_lock(&guard);
    free(names[descriptor]);
    names[descriptor] = NULL;
    pthread_mutex_unlock(&guard);
  }
  return REAL(close)(descriptor);
}

// A write: all of it, half of it, or none.
#define WRITE(call, whole, half)                              \
  const char *path = name_of(descriptor);                     \
  if (!path) return whole;                                    \
  enum action action = meet(#call, path, 1);                  \
  if (action == COUNT || (action == SHORTEN && size < 2)) return whole; \
  if (action == FAIL) {                                       \
    errno = plan.error;                                       \
    return -1;                                                \
  }                                                           \
  ssize_t done = half;                                        \
  if (action == TEAR) raise(SIGKILL);                         \
  return done;

ssize_t write(int descriptor, const void *data, size_t size) {
  WRITE(write, REAL(write)(descriptor, data, size), REAL(write)(descriptor, data, size / 2))
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
  WRITE(pwrite, REAL(pwrite)(descriptor, data, size, offset), REAL(pwrite)(descriptor, data, size / 2, offset))
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
  WRITE(pwrite64, REAL(pwrite64)(descriptor, data, size, offset), REAL(pwrite64)(descriptor, data, size / 2, offset))
}

ssize_t writev(int descriptor, const struct iovec *parts, int size) {
  WRITE(writev, REAL(writev)(descriptor, parts, size), REAL(writev)(descriptor, parts, size / 2))
}

#define ON_FILE(name, arguments, values, grows)                                  \
  int name arguments {                                                           \
    const char *path = name_of(descriptor);                                      \
    return path && refused(#name, path, grows) ? -1 : REAL(name) values;         \
  }
ON_FILE(fsync, (int descriptor), (descriptor), 0)
ON_FILE(fdatasync, (int descriptor), (descriptor), 0)
ON_FILE(ftruncate, (int descriptor, off_t size), (descriptor, size), 1)
ON_FILE(ftruncate64, (int descriptor, off64_t size), (descriptor, size), 1)

#define ON_PATH(name, arguments, values, grows)                                  \
  int name arguments { return refused(#name, path, grows) ? -1 : REAL(name) values; }
ON_PATH(rename, (const char *path, const char *to), (path, to), 0)
ON_PATH(unlink, (const char *path), (path), 0)
ON_PATH(unlinkat, (int folder, const char *path, int flags), (folder, path, flags), 0)
ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode), 1)
ON_PATH(truncate, (const char *path, off_t size), (path, size), 1)
ON_PATH(renameat, (int from, const char *path, int folder, const char *to), (from, path, folder, to), 0)

int posix_fallocate(int descriptor, off_t offset, off_t size) {  // it returns its error
  const char *path = name_of(descriptor);
  return path && refused("posix_fallocate", path, 1) ? plan.error : REAL(posix_fallocate)(descriptor, offset, size);
}
