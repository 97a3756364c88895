package compare;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/** Senders go on while the leader is killed: the longest time without an acknowledgement, counted from the kill on. */
final class Failover {
    private static final long AFTER_FAILURE_MS = 2;
    private final DefaultMQProducer producer;
    private final String topic;
    private final byte[] body;
    private final AtomicLong failed = new AtomicLong();
    private long acknowledged;
    private long lastNanos;
    private long longestNanos;
    private long resumedNanos;
    private boolean killed;
    private volatile boolean over;

    private Failover(Wish wish) throws Exception {
        producer = Clients.producer(wish);
        topic = wish.text("topic");
        body = Clients.body(wish.number("size"));
    }

    static String run(Wish wish) throws Exception {
        return new Failover(wish).measure(wish);
    }

    private String measure(Wish wish) throws Exception {
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < wish.number("senders"); i++) {
            Thread thread = new Thread(this::send);
            threads.add(thread);
            thread.start();
        }
        Thread.sleep(wish.number("warmup") * 1000L);
        synchronized (this) {
            killed = true;
            lastNanos = System.nanoTime();
            ProcessHandle.of(wish.number("kill")).orElseThrow().destroyForcibly();
        }
        long killedNanos = lastNanos;
        long deadline = killedNanos + wish.number("within") * 1_000_000_000L;
        long afterNanos = wish.number("after") * 1_000_000_000L;
        // Ends when senders have gone on for a while without another long pause.
        for (;;) {
            Thread.sleep(20);
            synchronized (this) {
                long now = System.nanoTime();
                boolean goesOn = resumedNanos != 0 && now - lastNanos < afterNanos / 2;
                if (goesOn && now - resumedNanos > afterNanos) break;
                if (!goesOn && now > deadline) {
                    over = true;
                    throw new IllegalStateException("no acknowledgement after the kill");
                }
            }
        }
        over = true;
        for (Thread thread : threads) thread.join();
        producer.shutdown();
        return "{\"gapMs\":" + longestNanos / 1e6 + ",\"failed\":" + failed.get() + ",\"messages\":" + acknowledged + "}";
    }

    private void send() {
        while (!over) {
            try {
                if (Clients.stored(producer.send(new Message(topic, body)))) acknowledged();
                else failed.incrementAndGet();
                Thread.sleep(1);
            } catch (InterruptedException ended) {
                return;
            } catch (Exception failure) {
                failed.incrementAndGet();
                pause();
            }
        }
    }

    private synchronized void acknowledged() {
        acknowledged++;
        if (!killed) return;
        long now = System.nanoTime();
        if (now - lastNanos > longestNanos) {
            longestNanos = now - lastNanos;
            resumedNanos = now;
        }
        lastNanos = now;
    }

    private static void pause() {
        try {
            Thread.sleep(AFTER_FAILURE_MS);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }
}
