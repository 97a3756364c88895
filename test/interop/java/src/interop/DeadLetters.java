package interop;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.MixAll;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A consumer never takes a message: it comes as often as the consumer's limit says, with its count, and goes to the dead letters once,
 * where another consumer reads it. While the leader dies, one is between its first two deliveries and others are on all their ways.
 */
final class DeadLetters implements Scenario {
    private static final int COUNT = 3;
    private static final int RETRIES = 2;
    private static final int ONE_SECOND = 1;
    private static final int TEN_SECONDS = 3;
    private static final String PENDING = "pending";
    private static final String SWING = "swing";

    private final ScenarioContext context;
    private final Map<String, AtomicInteger> deliveries = new ConcurrentHashMap<>();
    private final Map<String, AtomicInteger> dead = new ConcurrentHashMap<>();
    private final Map<String, String> wrong = new ConcurrentHashMap<>();
    /** When a message was put in the retry topic. */
    private final Map<String, Long> againAtMs = new ConcurrentHashMap<>();
    private MessageQueue queue;
    private DefaultMQPushConsumer consumer;
    private DefaultMQPushConsumer mourner;

    DeadLetters(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "dead letters";
    }

    @Override
    public String before() throws Exception {
        queue = context.createTopic(context.topic("dead")).get(0);
        consumer = context.clients.pushConsumer(context.group("dead"));
        consumer.setMaxReconsumeTimes(RETRIES);
        consumer.subscribe(context.topic("dead"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, consuming) -> {
            for (MessageExt message : messages) {
                int earlier = deliveries.computeIfAbsent(message.getKeys(), key -> new AtomicInteger()).getAndIncrement();
                if (earlier == 1) {
                    againAtMs.put(message.getKeys(), message.getStoreTimestamp());
                }
                // What went back without an answer goes back again: two of them come.
                if (message.getReconsumeTimes() != earlier && !message.getKeys().startsWith(SWING)) {
                    wrong.put(message.getKeys(), "delivery " + earlier + " says reconsumeTimes " + message.getReconsumeTimes());
                }
                consuming.setDelayLevelWhenNextConsume(message.getKeys().startsWith(PENDING) ? TEN_SECONDS : ONE_SECOND);
            }
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        mourner = context.clients.pushConsumer(context.group("mourner"));
        mourner.subscribe(MixAll.getDLQTopic(context.group("dead")), "*");
        mourner.registerMessageListener((MessageListenerConcurrently) (messages, consuming) -> {
            messages.forEach(message -> dead.computeIfAbsent(message.getKeys(), key -> new AtomicInteger()).incrementAndGet());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        mourner.start();
        return sendAndAwait("before");
    }

    @Override
    public String through(Middle middle) throws Exception {
        SendResult pending = send(PENDING, 0);
        Clients.until("the message that is to be pending was sent back", () ->
            count(deliveries, PENDING + "-0") == 1 && ScenarioContext.isDoneWith(consumer, pending));
        int sent = middle.repeat(n -> send(SWING, n));
        long newLeaderAtMs = System.currentTimeMillis();
        String seen = sendAndAwait("after");
        for (int n = 0; n < sent; n++) {
            String key = SWING + "-" + n;
            Clients.until(key + " is among the dead letters", () -> count(dead, key) >= 1);
            Clients.expect(count(deliveries, key) > RETRIES, key + " is dead after " + count(deliveries, key) + " deliveries");
        }
        Clients.until("the pending message is dead", () -> count(dead, PENDING + "-0") >= 1);
        // Where the old leader had it come again already, it may have been on its way back when that died, as the others.
        boolean isPending = againAtMs.get(PENDING + "-0") > newLeaderAtMs;
        if (isPending) {
            expectEnd(PENDING + "-0");
        }
        consumer.shutdown();
        mourner.shutdown();
        return seen + "; " + sent + " sent while the leader died, too, and the pending one" + (isPending ? "" : ", which was under way");
    }

    private SendResult send(String prefix, int n) throws Exception {
        return context.send(context.message(queue.getTopic(), prefix, n), queue);
    }

    private String sendAndAwait(String prefix) throws Exception {
        for (int n = 0; n < COUNT; n++) {
            send(prefix, n);
        }
        for (int n = 0; n < COUNT; n++) {
            String key = prefix + "-" + n;
            Clients.until(key + " is among the dead letters", () -> count(dead, key) >= 1);
            expectEnd(key);
        }
        return COUNT + " dead after " + (RETRIES + 1) + " deliveries each";
    }

    private void expectEnd(String key) {
        if (context.isSentAgain(queue.getTopic(), key)) {
            return;
        }
        Clients.expectEqual(String.valueOf(wrong.get(key)), "null", "wrong counts");
        Clients.expectEqual(count(deliveries, key), RETRIES + 1, "deliveries of " + key);
        Clients.expectEqual(count(dead, key), 1, "dead letters of " + key);
    }

    private static int count(Map<String, AtomicInteger> of, String key) {
        AtomicInteger counter = of.get(key);
        return counter == null ? 0 : counter.get();
    }
}
