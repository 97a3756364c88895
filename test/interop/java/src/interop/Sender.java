package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;

/**
 * Sends numbered messages and prints the outcome of each exactly once: acked, failed, or oneway.
 * Message n of a series has the key PREFIX-n and the tag TagA, TagB or TagC in turn.
 */
final class Sender {
    private static final int BATCH = 10;
    private static final int ASYNC_IN_FLIGHT_MAX = 16;
    private static final long FLOW_PACE_MS = 5;
    /** After a failure, and between batches. */
    private static final long FLOW_PACE_SLOW_MS = 50;
    private static final String[] TAGS = {"TagA", "TagB", "TagC"};

    private final DefaultMQProducer producer;
    private final String topic;

    Sender(DefaultMQProducer producer, String topic) {
        this.producer = producer;
        this.topic = topic;
    }

    void send(String mode, String prefix, int count) throws Exception {
        CountDownLatch answered = new CountDownLatch(count);
        for (int n = 0; n < count; n += mode.equals("batch") ? BATCH : 1) {
            switch (mode) {
                case "sync" -> sendSync(prefix, n);
                case "async" -> sendAsync(prefix, n, answered::countDown);
                case "oneway" -> sendOneway(prefix, n);
                case "batch" -> sendBatch(prefix, n, Math.min(BATCH, count - n));
                default -> throw new IllegalArgumentException("no such mode: " + mode);
            }
        }
        if (mode.equals("async")) {
            answered.await();
        }
    }

    /** Sends in a loop until the returned action is run; lives through a failover, where its sends fail for a while. */
    Runnable flow(String mode, String prefix) {
        AtomicBoolean ending = new AtomicBoolean();
        Semaphore slots = new Semaphore(ASYNC_IN_FLIGHT_MAX);
        Thread thread = new Thread(() -> {
            try {
                for (int n = 0; !ending.get(); n++) {
                    boolean acked = true;
                    switch (mode) {
                        case "sync" -> acked = sendSync(prefix, n);
                        case "batch" -> acked = sendBatch(prefix, n * BATCH, BATCH);
                        default -> {
                            slots.acquire();
                            sendAsync(prefix, n, slots::release);
                        }
                    }
                    Thread.sleep(acked && !mode.equals("batch") ? FLOW_PACE_MS : FLOW_PACE_SLOW_MS);
                }
                slots.acquire(ASYNC_IN_FLIGHT_MAX);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        }, "flow-" + mode);
        thread.start();
        return () -> {
            ending.set(true);
            try {
                thread.join();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        };
    }

    private Message message(String prefix, int n) {
        String key = prefix + "-" + n;
        return new Message(topic, TAGS[n % TAGS.length], key, ("body of " + key).getBytes(StandardCharsets.UTF_8));
    }

    private boolean sendSync(String prefix, int n) throws InterruptedException {
        Message message = message(prefix, n);
        try {
            return report(message, producer.send(message));
        } catch (InterruptedException interrupted) {
            throw interrupted;
        } catch (Exception failure) {
            failed(message, failure);
            return false;
        }
    }

    private void sendAsync(String prefix, int n, Runnable answered) throws InterruptedException {
        Message message = message(prefix, n);
        try {
            producer.send(message, new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    report(message, result);
                    answered.run();
                }

                @Override
                public void onException(Throwable failure) {
                    failed(message, failure);
                    answered.run();
                }
            });
        } catch (InterruptedException interrupted) {
            throw interrupted;
        } catch (Exception failure) {
            failed(message, failure);
            answered.run();
        }
    }

    private void sendOneway(String prefix, int n) throws InterruptedException {
        Message message = message(prefix, n);
        try {
            producer.sendOneway(message);
            Events.print("oneway", "key", message.getKeys(), "tag", message.getTags());
        } catch (InterruptedException interrupted) {
            throw interrupted;
        } catch (Exception failure) {
            failed(message, failure);
        }
    }

    private boolean sendBatch(String prefix, int from, int count) throws InterruptedException {
        List<Message> batch = new ArrayList<>();
        for (int n = from; n < from + count; n++) {
            batch.add(message(prefix, n));
        }
        try {
            SendResult result = producer.send(batch);
            // One answer for the whole batch: the queue offset of its first message and the ids of all, in order.
            String[] ids = result.getOffsetMsgId().split(",");
            Clients.expectEqual(ids.length, count, "offset message ids in the answer to a batch");
            boolean acked = true;
            for (int i = 0; i < count; i++) {
                acked &= report(batch.get(i), result, result.getQueueOffset() + i, ids[i]);
            }
            return acked;
        } catch (InterruptedException interrupted) {
            throw interrupted;
        } catch (Exception failure) {
            for (Message message : batch) {
                failed(message, failure);
            }
            return false;
        }
    }

    private static boolean report(Message message, SendResult result) {
        return report(message, result, result.getQueueOffset(), result.getOffsetMsgId());
    }

    private static boolean report(Message message, SendResult result, long queueOffset, String msgId) {
        if (result.getSendStatus() != SendStatus.SEND_OK) {
            failed(message, new IllegalStateException(result.getSendStatus().name()));
            return false;
        }
        Events.print("acked", "key", message.getKeys(), "tag", message.getTags(),
            "queueId", result.getMessageQueue().getQueueId(), "queueOffset", queueOffset, "msgId", msgId);
        return true;
    }

    private static void failed(Message message, Throwable failure) {
        Events.print("failed", "key", message.getKeys(), "tag", message.getTags(), "error", failure.toString());
    }
}
