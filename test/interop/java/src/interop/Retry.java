package interop;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A consumer answers RECONSUME_LATER to the first delivery of each message: it comes again after the delay level's time,
 * with reconsumeTimes 1 and the offset id of the original. While the leader dies, one waits to come again and others are being sent back.
 */
final class Retry implements Scenario {
    private static final int COUNT = 5;
    private static final int ONE_SECOND = 1;
    private static final int FIVE_SECONDS = 2;
    /** Clocks have ticks and stores have milliseconds: a second may look this much shorter. */
    private static final long SLACK_MS = 100;
    private static final String PENDING = "pending";

    private record Delivery(long atMs, int reconsumeTimes, String topic, String originId) {}

    private final ScenarioContext context;
    private final Map<String, Queue<Delivery>> deliveries = new ConcurrentHashMap<>();
    private final Map<String, String> ids = new ConcurrentHashMap<>();
    private final Map<String, SendResult> placeOf = new ConcurrentHashMap<>();
    private MessageQueue queue;
    private DefaultMQPushConsumer consumer;

    Retry(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "retry once";
    }

    @Override
    public String before() throws Exception {
        queue = context.createTopic(context.topic("retry")).get(0);
        consumer = context.clients.pushConsumer(context.group("retry"));
        consumer.subscribe(context.topic("retry"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) this::consume);
        consumer.start();
        return sendAndAwait("before");
    }

    @Override
    public String through(Middle middle) throws Exception {
        send(PENDING);
        Clients.until("the message that is to be pending was sent back", () -> isSentBack(PENDING));
        int count = middle.repeat(n -> send("swing-" + n));
        String seen = sendAndAwait("after");
        int most = 0;
        for (int n = 0; n < count; n++) {
            String key = "swing-" + n;
            // A message whose way back was not acknowledged goes back again, or is handed out again by the client itself.
            Clients.until(key + " is delivered again", () -> delivered(key).stream().anyMatch(delivery -> delivery.reconsumeTimes >= 1));
            expectWaited(key);
            most = Math.max(most, delivered(key).size());
        }
        Clients.until("the pending message is delivered again", () -> delivered(PENDING).size() >= 2);
        consumer.shutdown();
        Clients.expectEqual(delivered(PENDING).size(), 2, "deliveries of the pending one");
        return seen + "; " + count + " while the leader died, each 2 to " + most + " times; the pending one once more";
    }

    private ConsumeConcurrentlyStatus consume(List<MessageExt> messages, ConsumeConcurrentlyContext consuming) {
        for (MessageExt message : messages) {
            Queue<Delivery> earlier = deliveries.computeIfAbsent(message.getKeys(), key -> new ConcurrentLinkedQueue<>());
            boolean first = earlier.isEmpty();
            earlier.add(new Delivery(System.currentTimeMillis(), message.getReconsumeTimes(), message.getTopic(),
                message.getProperty(MessageConst.PROPERTY_ORIGIN_MESSAGE_ID)));
            if (first) {
                consuming.setDelayLevelWhenNextConsume(message.getKeys().equals(PENDING) ? FIVE_SECONDS : ONE_SECOND);
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
        }
        return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
    }

    private void send(String key) throws Exception {
        var message = context.message(queue.getTopic(), "retry", 0);
        message.setKeys(key);
        SendResult sent = context.send(message, queue);
        ids.put(key, sent.getOffsetMsgId());
        placeOf.put(key, sent);
    }

    private String sendAndAwait(String prefix) throws Exception {
        long slowestMs = 0;
        for (int n = 0; n < COUNT; n++) {
            send(prefix + "-" + n);
        }
        for (int n = 0; n < COUNT; n++) {
            String key = prefix + "-" + n;
            Clients.until(key + " is delivered twice", () -> delivered(key).size() >= 2);
            List<Delivery> both = delivered(key);
            if (context.isSentAgain(queue.getTopic(), key)) {
                continue;
            }
            Clients.expectEqual(both.size(), 2, "deliveries of " + key);
            Clients.expectEqual(both.get(0).reconsumeTimes, 0, "reconsumeTimes of the first delivery");
            Clients.expectEqual(both.get(1).reconsumeTimes, 1, "reconsumeTimes of the second delivery");
            Clients.expectEqual(both.get(1).topic, queue.getTopic(), "topic of the second delivery");
            Clients.expectEqual(String.valueOf(both.get(1).originId), ids.get(key), "id of the original");
            slowestMs = Math.max(slowestMs, expectWaited(key));
        }
        return COUNT + " again, the last after " + slowestMs + " ms";
    }

    /** Returns how long it was away. */
    private long expectWaited(String key) {
        List<Delivery> all = delivered(key);
        long againAtMs = all.stream().filter(delivery -> delivery.reconsumeTimes >= 1).mapToLong(Delivery::atMs).min().getAsLong();
        long waitedMs = againAtMs - all.get(0).atMs;
        Clients.expect(waitedMs >= 1000 - SLACK_MS, key + " came again after " + waitedMs + " ms, level 1 is 1000 ms");
        return waitedMs;
    }

    /** The client is done with a message when the broker has taken it back. */
    private boolean isSentBack(String key) {
        return !delivered(key).isEmpty() && ScenarioContext.isDoneWith(consumer, placeOf.get(key));
    }

    private List<Delivery> delivered(String key) {
        return new ArrayList<>(deliveries.getOrDefault(key, new ConcurrentLinkedQueue<>()));
    }
}
