package interop;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages with delay level 1 come a second after they were stored, not earlier; one sent before a failover comes after it. */
final class Delay implements Scenario {
    private static final int COUNT = 5;
    private static final int ONE_SECOND = 1;
    private static final int TEN_SECONDS = 3;
    private static final long SLACK_MS = 100;
    private static final String PENDING = "pending";

    private final ScenarioContext context;
    private final Map<String, Long> arrivedAtMs = new ConcurrentHashMap<>();
    private final Map<String, Integer> deliveries = new ConcurrentHashMap<>();
    private DefaultMQPushConsumer consumer;
    private long pendingSentAtMs;

    Delay(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "delay level";
    }

    @Override
    public String before() throws Exception {
        context.createTopic(context.topic("delay"));
        consumer = context.clients.pushConsumer(context.group("delay"));
        consumer.subscribe(context.topic("delay"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> {
            for (MessageExt message : messages) {
                // The time last: whoever sees it looks at the count.
                deliveries.merge(message.getKeys(), 1, Integer::sum);
                arrivedAtMs.putIfAbsent(message.getKeys(), System.currentTimeMillis());
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return sendAndAwait("before");
    }

    @Override
    public void leaveBehind() throws Exception {
        pendingSentAtMs = System.currentTimeMillis();
        send(PENDING, TEN_SECONDS);
    }

    @Override
    public String after() throws Exception {
        String seen = sendAndAwait("after");
        Clients.until("the pending message is delivered", () -> arrivedAtMs.containsKey(PENDING));
        long waitedMs = arrivedAtMs.get(PENDING) - pendingSentAtMs;
        Clients.expect(waitedMs >= 10_000 - SLACK_MS, "the pending one came after " + waitedMs + " ms, level 3 is 10000 ms");
        consumer.shutdown();
        return seen + "; the one pending at the failover after " + waitedMs + " ms, " + deliveries.get(PENDING) + " times";
    }

    private void send(String key, int level) throws Exception {
        Message message = context.message(context.topic("delay"), "delay", 0);
        message.setKeys(key);
        message.setDelayTimeLevel(level);
        Clients.send(context.producer, message, null);
    }

    private String sendAndAwait(String prefix) throws Exception {
        long[] sentAtMs = new long[COUNT];
        for (int n = 0; n < COUNT; n++) {
            sentAtMs[n] = System.currentTimeMillis();
            send(prefix + "-" + n, ONE_SECOND);
        }
        long slowestMs = 0;
        for (int n = 0; n < COUNT; n++) {
            String key = prefix + "-" + n;
            Clients.until(key + " is delivered", () -> arrivedAtMs.containsKey(key));
            long waitedMs = arrivedAtMs.get(key) - sentAtMs[n];
            Clients.expect(waitedMs >= 1000 - SLACK_MS, key + " came after " + waitedMs + " ms, level 1 is 1000 ms");
            Clients.expectEqual(deliveries.get(key), 1, "deliveries of " + key);
            slowestMs = Math.max(slowestMs, waitedMs);
        }
        return COUNT + " delayed, the last after " + slowestMs + " ms";
    }
}
