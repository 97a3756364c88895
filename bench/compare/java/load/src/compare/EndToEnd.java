package compare;

import java.nio.ByteBuffer;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages at an even rate and a push consumer in the same process: from before the send to the listener. */
final class EndToEnd {
    private static final int FIRST_WITHIN_SECONDS = 60;
    private static volatile boolean over;

    static String run(Wish wish) throws Exception {
        over = false;
        Tally tally = new Tally();
        CountDownLatch arrived = new CountDownLatch(1);
        DefaultMQProducer producer = Clients.producer(wish);
        DefaultMQPushConsumer consumer = Clients.consumer(wish, (messages, context) -> {
            long now = System.nanoTime();
            for (MessageExt message : messages) {
                // The first message, which made the topic, is shorter and has no time in it.
                if (message.getBody().length < wish.number("size")) continue;
                tally.ended(now - ByteBuffer.wrap(message.getBody()).getLong(), 1);
                arrived.countDown();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        Thread sender = new Thread(() -> send(wish, producer, tally));
        sender.start();
        boolean comes = arrived.await(FIRST_WITHIN_SECONDS, TimeUnit.SECONDS);
        if (comes) {
            Thread.sleep(wish.number("warmup") * 1000L);
            tally.begin();
            Thread.sleep(wish.number("seconds") * 1000L);
            tally.end();
        }
        over = true;
        sender.join();
        consumer.shutdown();
        producer.shutdown();
        if (!comes) throw new IllegalStateException("no message came");
        return tally.json();
    }

    private static void send(Wish wish, DefaultMQProducer producer, Tally tally) {
        long stepNanos = 1_000_000_000L / wish.number("rate");
        byte[] body = Clients.body(wish.number("size"));
        SendCallback callback = new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
                if (!Clients.stored(result)) tally.failed(result.getSendStatus().name());
            }

            @Override
            public void onException(Throwable failure) {
                tally.failed(String.valueOf(failure));
            }
        };
        for (long next = System.nanoTime(); !over; next += stepNanos) {
            for (long early = next - System.nanoTime(); early > 0; early = next - System.nanoTime()) LockSupport.parkNanos(early);
            byte[] own = body.clone();
            ByteBuffer.wrap(own).putLong(System.nanoTime());
            try {
                producer.send(new Message(wish.text("topic"), own), callback);
            } catch (Exception failure) {
                callback.onException(failure);
            }
        }
    }
}
