package compare;

import java.util.concurrent.atomic.LongAdder;
import org.HdrHistogram.ConcurrentHistogram;

/** What ended while it was counted, and how long each took. */
final class Tally {
    private static final long LONGEST_MICROS = 120_000_000;
    private final ConcurrentHistogram micros = new ConcurrentHistogram(LONGEST_MICROS, 3);
    private final LongAdder messages = new LongAdder();
    private final LongAdder failed = new LongAdder();
    private volatile boolean counts;
    private volatile String failure = "";
    private long begunNanos;
    private double seconds;

    void begin() {
        begunNanos = System.nanoTime();
        counts = true;
        Load.begin();
    }

    void end() {
        counts = false;
        seconds = (System.nanoTime() - begunNanos) / 1e9;
        Load.end();
    }

    void ended(long nanos, int count) {
        if (!counts) return;
        micros.recordValue(Math.min(LONGEST_MICROS, nanos / 1000));
        messages.add(count);
    }

    void failed(String reason) {
        if (!counts) return;
        failed.increment();
        failure = reason;
    }

    private double ms(double percentile) {
        return micros.getValueAtPercentile(percentile) / 1000.0;
    }

    String json() {
        String reason = failure.replaceAll("[\"\\\\\\p{Cntrl}]", " ");
        return "{\"messages\":" + messages.sum() + ",\"seconds\":" + seconds + ",\"failed\":" + failed.sum() + ",\"p50Ms\":" + ms(50)
            + ",\"p99Ms\":" + ms(99) + ",\"p999Ms\":" + ms(99.9) + ",\"failure\":\"" + reason.substring(0, Math.min(200, reason.length())) + "\"}";
    }
}
