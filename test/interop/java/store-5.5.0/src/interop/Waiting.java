package interop;

import java.util.concurrent.Callable;

/** Waits for conditions, never for fixed times. */
final class Waiting {
    private static final long WAIT_MS = 60_000;

    private Waiting() {}

    static void until(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + WAIT_MS * 1_000_000;
        Exception last = null;
        while (true) {
            try {
                if (condition.call()) {
                    return;
                }
            } catch (InterruptedException interrupted) {
                throw interrupted;
            } catch (Exception notYet) {
                last = notYet;
            }
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("waited " + WAIT_MS + " ms until " + what, last);
            }
            Thread.sleep(50);
        }
    }
}
