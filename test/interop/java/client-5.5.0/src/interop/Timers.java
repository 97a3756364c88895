package interop;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Messages that are delayed by any time come then, not earlier, once; those that are called back never come. While the leader
 * dies some wait, some are sent and some are called back, and others are called back at its successor.
 */
final class Timers implements Scenario {
    private static final int ILLEGAL_MESSAGE = 13;
    private static final int ILLEGAL_OPERATION = 604;
    private static final long DAY_MS = 86_400_000;
    /** A tenth of a second of the broker's, on a machine that is busy. */
    private static final long LATE_MS = 3_000;
    private static final int PENDING_COUNT = 10;
    private static final long RECALLED_AFTER_MS = 30_000;
    /** So many wait to be called back while the leader dies. */
    private static final int RECALLED_LATER = 5;

    private final ScenarioContext context;
    /** When it was put in its queue: a consumer may stand still for half a minute when a broker dies. */
    private final Map<String, Long> arrivedAtMs = new ConcurrentHashMap<>();
    /** Queue and offset of each message that was consumed, by key. */
    private final Map<String, Set<String>> places = new ConcurrentHashMap<>();
    private final Map<String, Long> dueAtMs = new HashMap<>();
    /** How long it took until it was acknowledged, by key: its delay may begin that much later. */
    private final Map<String, Long> storedLateMs = new HashMap<>();
    private DefaultMQPushConsumer consumer;

    Timers(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "timers and recall";
    }

    @Override
    public String before() throws Exception {
        context.createTopic(context.topic("timer"));
        consumer = context.clients.pushConsumer(context.group("timer"));
        consumer.subscribe(context.topic("timer"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> {
            for (MessageExt message : messages) {
                String place = message.getQueueId() + "-" + message.getQueueOffset();
                places.computeIfAbsent(message.getKeys(), key -> ConcurrentHashMap.newKeySet()).add(place);
                arrivedAtMs.putIfAbsent(message.getKeys(), message.getStoreTimestamp());
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return sendAndAwait("before");
    }

    @Override
    public String through(Middle middle) throws Exception {
        for (int n = 0; n < PENDING_COUNT; n++) {
            sendDelayed("pending-" + n, 2_000 + 1_000L * n);
        }
        Deque<SendResult> toRecall = new ArrayDeque<>();
        int count = middle.repeat(n -> {
            sendDelayed("swing-" + n, 1_500);
            toRecall.add(sendDelayed("recalled-" + n, RECALLED_AFTER_MS));
            if (toRecall.size() > RECALLED_LATER) {
                recall(toRecall.remove());
            }
        });
        for (SendResult result : toRecall) {
            recall(result);
        }
        String seen = sendAndAwait("after");
        for (int n = 0; n < PENDING_COUNT; n++) {
            arrived("pending-" + n, false);
        }
        for (int n = 0; n < count; n++) {
            arrived("swing-" + n, false);
        }
        long over = dueAtMs.get("recalled-" + (count - 1)) + LATE_MS - System.currentTimeMillis();
        if (over > 0) {
            Thread.sleep(over);
        }
        consumer.shutdown();
        Set<String> unwanted = new java.util.TreeSet<>(places.keySet());
        // Only the one that was acknowledged is called back.
        unwanted.removeIf(key -> !key.startsWith("recalled") || context.isSentAgain(context.topic("timer"), key));
        Clients.expect(unwanted.isEmpty(), "delivered though called back: " + Clients.some(unwanted));
        return seen + "; while the leader died " + PENDING_COUNT + " were pending and " + count + " sent, which came once, and "
            + count + " called back, " + toRecall.size() + " of them after it";
    }

    private Message message(String key) {
        Message message = context.message(context.topic("timer"), "timer", 0);
        message.setKeys(key);
        return message;
    }

    private SendResult sendDelayed(String key, long delayMs) throws Exception {
        Message message = message(key);
        long sentAtMs = System.currentTimeMillis();
        message.setDelayTimeMs(delayMs);
        dueAtMs.put(key, sentAtMs + delayMs);
        SendResult sent = context.send(message, null);
        storedLateMs.put(key, System.currentTimeMillis() - sentAtMs);
        return sent;
    }

    private String sendAndAwait(String prefix) throws Exception {
        sendDelayed(prefix + "-ms", 1_234);
        Message seconds = message(prefix + "-s");
        dueAtMs.put(seconds.getKeys(), System.currentTimeMillis() + 2_000);
        seconds.setDelayTimeSec(2);
        context.send(seconds, null);
        Message at = message(prefix + "-at");
        dueAtMs.put(at.getKeys(), System.currentTimeMillis() + 1_777);
        at.setDeliverTimeMs(dueAtMs.get(at.getKeys()));
        context.send(at, null);
        Message past = message(prefix + "-past");
        dueAtMs.put(past.getKeys(), System.currentTimeMillis() - 5_000);
        past.setDeliverTimeMs(dueAtMs.get(past.getKeys()));
        context.send(past, null);

        SendResult recalled = sendDelayed("recalled-" + prefix, 3_000);
        recall(recalled);
        expectRefused(ILLEGAL_OPERATION, "a message that is called back already", () ->
            context.producer.recallMessage(context.topic("timer"), recalled.getRecallHandle()));
        expectRefused(ILLEGAL_MESSAGE, "a delay of 4 days", () -> {
            Message late = message(prefix + "-late");
            late.setDelayTimeMs(4 * DAY_MS);
            context.producer.send(late);
        });

        long latestMs = 0;
        for (String kind : List.of("ms", "s", "at", "past")) {
            latestMs = Math.max(latestMs, arrived(prefix + "-" + kind, true));
        }
        return "4 came at most " + latestMs + " ms late, one was called back";
    }

    private void recall(SendResult result) throws Exception {
        Clients.expect(result.getRecallHandle() != null, "the answer to a delayed send has a recall handle");
        int[] attempts = {0};
        Clients.until("a message is called back", () -> {
            attempts[0]++;
            try {
                String id = context.producer.recallMessage(context.topic("timer"), result.getRecallHandle());
                Clients.expectEqual(id, result.getMsgId(), "id of the message that was called back");
                return true;
            } catch (MQBrokerException refused) {
                // Nobody answered the first time, and it was called back.
                if (attempts[0] > 1 && refused.getResponseCode() == ILLEGAL_OPERATION) {
                    return true;
                }
                throw refused;
            }
        });
    }

    /** Waits for it. @return how late it was. */
    private long arrived(String key, boolean isSoon) throws Exception {
        Clients.until(key + " is delivered", () -> arrivedAtMs.containsKey(key));
        long lateMs = arrivedAtMs.get(key) - dueAtMs.get(key);
        Clients.expect(lateMs >= 0 || key.endsWith("past"), key + " came " + -lateMs + " ms early");
        Clients.expect(lateMs <= LATE_MS + storedLateMs.getOrDefault(key, 0L) || !isSoon || key.endsWith("past"), key + " came " + lateMs + " ms late");
        int count = places.get(key).size();
        Clients.expect(count == 1 || context.isSentAgain(context.topic("timer"), key), key + " is in the log " + count + " times");
        return key.endsWith("past") ? 0 : lateMs;
    }

    private interface Attempt {
        void run() throws Exception;
    }

    private static void expectRefused(int code, String what, Attempt attempt) throws Exception {
        try {
            attempt.run();
        } catch (MQBrokerException refused) {
            Clients.expectEqual(refused.getResponseCode(), code, "code for " + what);
            return;
        }
        throw new IllegalStateException(what + " is not refused");
    }
}
