package interop;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages with delay level 1 come a second after they were stored, not earlier; each once, also when the leader dies. */
final class Delay implements Scenario {
    private static final int COUNT = 5;
    private static final int ONE_SECOND = 1;
    private static final int TEN_SECONDS = 3;
    private static final long SLACK_MS = 100;
    private static final String PENDING = "pending";

    private final ScenarioContext context;
    private final Map<String, Long> arrivedAtMs = new ConcurrentHashMap<>();
    private final Map<String, Integer> deliveries = new ConcurrentHashMap<>();
    private final Map<String, Long> sentAtMs = new ConcurrentHashMap<>();
    private DefaultMQPushConsumer consumer;

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
    public String through(Middle middle) throws Exception {
        sentAtMs.put(PENDING, System.currentTimeMillis());
        send(PENDING, TEN_SECONDS);
        int count = middle.repeat(n -> {
            sentAtMs.put("swing-" + n, System.currentTimeMillis());
            send("swing-" + n, ONE_SECOND);
        });
        String seen = sendAndAwait("after");
        for (int n = 0; n < count; n++) {
            await("swing-" + n, 1000);
        }
        long pendingMs = await(PENDING, 10_000);
        consumer.shutdown();
        return seen + "; " + count + " sent while the leader died; the pending one once, after " + pendingMs + " ms";
    }

    /** Waits until it is delivered, once and not early. Returns how long it took. */
    private long await(String key, long delayMs) throws Exception {
        Clients.until(key + " is delivered", () -> arrivedAtMs.containsKey(key));
        long waitedMs = arrivedAtMs.get(key) - sentAtMs.get(key);
        Clients.expect(waitedMs >= delayMs - SLACK_MS, key + " came after " + waitedMs + " ms, its level is " + delayMs + " ms");
        int times = deliveries.get(key);
        Clients.expect(times == 1 || context.isSentAgain(context.topic("delay"), key), key + " was delivered " + times + " times");
        return waitedMs;
    }

    private void send(String key, int level) throws Exception {
        Message message = context.message(context.topic("delay"), "delay", 0);
        message.setKeys(key);
        message.setDelayTimeLevel(level);
        context.send(message, null);
    }

    private String sendAndAwait(String prefix) throws Exception {
        for (int n = 0; n < COUNT; n++) {
            sentAtMs.put(prefix + "-" + n, System.currentTimeMillis());
            send(prefix + "-" + n, ONE_SECOND);
        }
        long slowestMs = 0;
        for (int n = 0; n < COUNT; n++) {
            slowestMs = Math.max(slowestMs, await(prefix + "-" + n, 1000));
        }
        return COUNT + " delayed, the last after " + slowestMs + " ms";
    }
}
