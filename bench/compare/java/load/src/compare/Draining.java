package compare;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/** A backlog, written in batches, and one push consumer that takes all of it. Measured from the consumer's start on. */
final class Draining {
    private static final int FILLERS = 4;
    private static final int BATCH = 32;
    private static final int WITHIN_SECONDS = 180;

    static String run(Wish wish) throws Exception {
        int wanted = wish.number("count");
        fill(wish, wanted);
        // What the filling left to do is not the draining's.
        Thread.sleep(2000);
        AtomicInteger got = new AtomicInteger();
        AtomicLong first = new AtomicLong();
        CountDownLatch drained = new CountDownLatch(1);
        Load.begin();
        long begun = System.nanoTime();
        DefaultMQPushConsumer consumer = Clients.consumer(wish, (messages, context) -> {
            first.compareAndSet(0, System.nanoTime());
            if (got.addAndGet(messages.size()) >= wanted) drained.countDown();
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        boolean complete = drained.await(WITHIN_SECONDS, TimeUnit.SECONDS);
        long last = System.nanoTime();
        Load.end();
        consumer.shutdown();
        if (!complete) throw new IllegalStateException("only " + got.get() + " of " + wanted + " came");
        return "{\"messages\":" + got.get() + ",\"seconds\":" + (last - first.get()) / 1e9 + ",\"firstMs\":" + (first.get() - begun) / 1e6 + "}";
    }

    private static void fill(Wish wish, int wanted) throws Exception {
        DefaultMQProducer producer = Clients.producer(wish);
        String topic = wish.text("topic");
        byte[] body = Clients.body(wish.number("size"));
        AtomicInteger left = new AtomicInteger(wanted / BATCH);
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < FILLERS; i++) {
            Thread thread = new Thread(() -> {
                while (left.getAndDecrement() > 0) {
                    List<Message> messages = new ArrayList<>();
                    for (int k = 0; k < BATCH; k++) messages.add(new Message(topic, body));
                    try {
                        if (Clients.stored(producer.send(messages))) continue;
                    } catch (Exception failure) {
                        // A busy broker refuses; the batch is sent again.
                    }
                    left.incrementAndGet();
                }
            });
            threads.add(thread);
            thread.start();
        }
        for (Thread thread : threads) thread.join();
        producer.shutdown();
    }
}
