package compare;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/** Senders that wait for each answer, one or many; or one that keeps so many sends in flight; or senders of batches. */
final class Sending {
    private final DefaultMQProducer producer;
    private final String topic;
    private final byte[] body;
    private final int batch;
    private final Semaphore free;
    private final Tally tally = new Tally();
    private volatile boolean over;

    private Sending(Wish wish) throws Exception {
        producer = Clients.producer(wish);
        topic = wish.text("topic");
        body = Clients.body(wish.number("size"));
        batch = wish.number("batch");
        free = new Semaphore(wish.number("senders"));
    }

    static String run(Wish wish) throws Exception {
        Sending sending = new Sending(wish);
        List<Thread> threads = new ArrayList<>();
        boolean async = wish.text("how").equals("async");
        int senders = async ? 1 : wish.number("senders");
        for (int i = 0; i < senders; i++) {
            Thread thread = new Thread(async ? sending::keepInFlight : sending::oneAfterTheOther);
            threads.add(thread);
            thread.start();
        }
        Thread.sleep(wish.number("warmup") * 1000L);
        sending.tally.begin();
        Thread.sleep(wish.number("seconds") * 1000L);
        sending.tally.end();
        sending.over = true;
        for (Thread thread : threads) thread.join();
        sending.producer.shutdown();
        return sending.tally.json();
    }

    private void oneAfterTheOther() {
        while (!over) {
            long begun = System.nanoTime();
            try {
                SendResult result = batch == 1 ? producer.send(message()) : producer.send(messages());
                ended(begun, result);
            } catch (Exception failure) {
                tally.failed(String.valueOf(failure));
            }
        }
    }

    private void keepInFlight() {
        while (!over) {
            free.acquireUninterruptibly();
            long begun = System.nanoTime();
            SendCallback callback = new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    free.release();
                    ended(begun, result);
                }

                @Override
                public void onException(Throwable failure) {
                    free.release();
                    tally.failed(String.valueOf(failure));
                }
            };
            try {
                producer.send(message(), callback);
            } catch (Exception failure) {
                callback.onException(failure);
            }
        }
    }

    private Message message() {
        return new Message(topic, body);
    }

    private List<Message> messages() {
        List<Message> messages = new ArrayList<>(batch);
        for (int i = 0; i < batch; i++) messages.add(message());
        return messages;
    }

    private void ended(long begun, SendResult result) {
        if (Clients.stored(result)) tally.ended(System.nanoTime() - begun, batch);
        else tally.failed(result.getSendStatus().name());
    }
}
