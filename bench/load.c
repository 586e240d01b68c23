/* N processes at rest, of which one in a hundred wakes ten times a second and works a little. They end with their parent.
   Every second one of them has M more threads, at rest (0). Prints "ready" when all of them are there. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static void wake_ten_times_a_second(void)
{
    struct timespec nap = {0, 100 * 1000 * 1000};
    for (;;) {
        nanosleep(&nap, NULL);
        for (volatile int work = 0; work < 20000; work++)
            ;
    }
}

static void *rest(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void start_threads(int threads)
{
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * 1024);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&thread, &small, rest, NULL))
            perror("pthread_create");
}

int main(int argc, char **argv)
{
    int processes = argc > 1 ? atoi(argv[1]) : 1000;
    int threads = argc > 2 ? atoi(argv[2]) : 0;
    for (int i = 0; i < processes; i++) {
        pid_t child = fork();
        if (child < 0) {
            perror("fork");
            return 1;
        }
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (i % 2)
                start_threads(threads);
            if (i % 100 == 0)
                wake_ten_times_a_second();
            for (;;)
                pause();
        }
    }
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
