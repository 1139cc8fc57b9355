/* Fails every fsync and fdatasync with EIO while the file named by FSYNC_FAULT exists. Loaded in
 * front of the C library (LD_PRELOAD), because no disk here can be told to fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int faulty(void) {
    const char *flag = getenv("FSYNC_FAULT");
    return flag != NULL && access(flag, F_OK) == 0;
}

int fsync(int descriptor) {
    static int (*real)(int);
    if (faulty()) {
        errno = EIO;
        return -1;
    }
    if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return real(descriptor);
}

int fdatasync(int descriptor) {
    static int (*real)(int);
    if (faulty()) {
        errno = EIO;
        return -1;
    }
    if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return real(descriptor);
}
