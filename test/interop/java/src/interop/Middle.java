package interop;

import java.util.concurrent.CompletableFuture;

/**
 * The point of one scenario at which the leader is killed: it has begun and has not ended. The driver kills the leader when all scenarios have
 * reached theirs, and says so; only then do they go on, while there is no leader yet or just one.
 */
final class Middle {
    private static final long PACE_MS = 20;

    interface Step {
        void run(int n) throws Exception;
    }

    private final String name;
    private final CompletableFuture<Long> killed;
    private volatile boolean isReached;

    /** `killed` is what all scenarios wait for: the time at which the leader was dead. */
    Middle(String name, CompletableFuture<Long> killed) {
        this.name = name;
        this.killed = killed;
    }

    boolean isReached() {
        return isReached;
    }

    /** Does this again and again: at least once before the leader is killed, while it dies, and once behind it. Returns how often. */
    int repeat(Step step) throws Exception {
        for (int n = 0; ; n++) {
            boolean isLast = killed.isDone();
            step.run(n);
            if (isLast) {
                return n + 1;
            }
            reach();
            Thread.sleep(PACE_MS);
        }
    }

    /** For the listeners of a scenario, which hold what they were given while the leader dies. */
    void hold() {
        killed.join();
    }

    /** By System.nanoTime(). */
    long killedAt() {
        return killed.join();
    }

    private void reach() {
        if (!isReached) {
            isReached = true;
            Events.print("middle", "name", name);
        }
    }
}
