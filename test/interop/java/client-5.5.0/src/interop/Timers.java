package interop;

import java.util.ArrayList;
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
 * Messages that are delayed by any time come then, not earlier, once; those that are called back never come. Some wait while the
 * leader dies, and of these some are called back at its successor.
 */
final class Timers implements Scenario {
    private static final int ILLEGAL_MESSAGE = 13;
    private static final int ILLEGAL_OPERATION = 604;
    private static final long DAY_MS = 86_400_000;
    /** A tenth of a second of the broker's, and what a consumer needs, on a machine that is busy. */
    private static final long LATE_MS = 3_000;
    private static final int PENDING_COUNT = 10;
    private static final long RECALLED_AFTER_MS = 30_000;

    private final ScenarioContext context;
    private final Map<String, Long> arrivedAtMs = new ConcurrentHashMap<>();
    /** Queue and offset of each message that was consumed, by key. */
    private final Map<String, Set<String>> places = new ConcurrentHashMap<>();
    private final Map<String, Long> dueAtMs = new HashMap<>();
    private final List<SendResult> toRecall = new ArrayList<>();
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
                arrivedAtMs.putIfAbsent(message.getKeys(), System.currentTimeMillis());
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return sendAndAwait("before");
    }

    @Override
    public void leaveBehind() throws Exception {
        for (int n = 0; n < PENDING_COUNT; n++) {
            sendDelayed("pending-" + n, 2_000 + 1_000L * n);
        }
        for (int n = 0; n < 3; n++) {
            toRecall.add(sendDelayed("recalled-later-" + n, RECALLED_AFTER_MS));
        }
    }

    @Override
    public String after() throws Exception {
        for (SendResult result : toRecall) {
            recall(result);
        }
        String seen = sendAndAwait("after");
        for (int n = 0; n < PENDING_COUNT; n++) {
            arrived("pending-" + n, false);
        }
        long over = dueAtMs.get("recalled-later-2") + LATE_MS - System.currentTimeMillis();
        if (over > 0) {
            Thread.sleep(over);
        }
        consumer.shutdown();
        Set<String> unwanted = new java.util.TreeSet<>(places.keySet());
        unwanted.removeIf(key -> !key.startsWith("recalled"));
        Clients.expect(unwanted.isEmpty(), "delivered though called back: " + Clients.some(unwanted));
        return seen + "; " + PENDING_COUNT + " pending at the failover came once, " + toRecall.size() + " were called back after it";
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
        return Clients.send(context.producer, message, null);
    }

    private String sendAndAwait(String prefix) throws Exception {
        sendDelayed(prefix + "-ms", 1_234);
        Message seconds = message(prefix + "-s");
        dueAtMs.put(seconds.getKeys(), System.currentTimeMillis() + 2_000);
        seconds.setDelayTimeSec(2);
        Clients.send(context.producer, seconds, null);
        Message at = message(prefix + "-at");
        dueAtMs.put(at.getKeys(), System.currentTimeMillis() + 1_777);
        at.setDeliverTimeMs(dueAtMs.get(at.getKeys()));
        Clients.send(context.producer, at, null);
        Message past = message(prefix + "-past");
        dueAtMs.put(past.getKeys(), System.currentTimeMillis() - 5_000);
        past.setDeliverTimeMs(dueAtMs.get(past.getKeys()));
        Clients.send(context.producer, past, null);

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
        String id = context.producer.recallMessage(context.topic("timer"), result.getRecallHandle());
        Clients.expectEqual(id, result.getMsgId(), "id of the message that was called back");
    }

    /** Waits for it. @return how late it was. */
    private long arrived(String key, boolean isSoon) throws Exception {
        Clients.until(key + " is delivered", () -> arrivedAtMs.containsKey(key));
        long lateMs = arrivedAtMs.get(key) - dueAtMs.get(key);
        Clients.expect(lateMs >= 0 || key.endsWith("past"), key + " came " + -lateMs + " ms early");
        Clients.expect(lateMs <= LATE_MS || !isSoon || key.endsWith("past"), key + " came " + lateMs + " ms late");
        Clients.expectEqual(places.get(key).size(), 1, "places in the log of " + key);
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
