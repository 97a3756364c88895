package interop;

import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.message.MessageRequestMode;

/**
 * Two push consumers of one group whose messages the broker hands out, since it says so of their group and topic: each message comes
 * once, to one of them; one that is not taken comes again with its count. It goes on while the leader dies.
 */
final class PopPush implements Scenario {
    private static final int COUNT = 24;
    private static final String REFUSED = "refused";
    /** The least that the client takes. */
    private static final long INVISIBLE_MS = 5000;

    private record Delivery(String consumer, int reconsumeTimes, String topic, int queueId) {}

    private final ScenarioContext context;
    private final Map<String, Queue<Delivery>> deliveries = new ConcurrentHashMap<>();
    private List<MessageQueue> queues;
    private List<DefaultMQPushConsumer> consumers;

    PopPush(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "push by pop";
    }

    @Override
    public String before() throws Exception {
        String topic = context.topic("poppush");
        queues = context.createTopic(topic);
        Clients.until("the group pops the topic", () -> {
            PopCalls.setMode(context, queues.get(0), context.group("poppush"), MessageRequestMode.POP);
            return true;
        });
        consumers = List.of(consumer("first"), consumer("second"));
        String seen = sendAndAwait("before");
        sendRefused("before");
        return seen + "; one refused came again";
    }

    @Override
    public String through(Middle middle) throws Exception {
        context.sendToEach(queues, "waiting", COUNT / queues.size());
        int count = middle.repeat(n ->
            context.send(context.message(context.topic("poppush"), "swing", n), queues.get(n % queues.size())));
        awaitAll("waiting", COUNT);
        awaitAll("swing", count);
        String seen = sendAndAwait("after");
        sendRefused("after");
        // An acknowledgement that dies with the leader is not made again.
        long again = deliveries.entrySet().stream()
            .filter(entry -> entry.getKey().startsWith("waiting") || entry.getKey().startsWith("swing"))
            .filter(entry -> entry.getValue().size() > 1)
            .count();
        consumers.forEach(DefaultMQPushConsumer::shutdown);
        return seen + "; of " + (COUNT + count) + " sent before and while the leader died " + again + " came more than once";
    }

    private DefaultMQPushConsumer consumer(String name) throws Exception {
        DefaultMQPushConsumer consumer = context.clients.pushConsumer(context.group("poppush"));
        consumer.setClientRebalance(false);
        consumer.setPopInvisibleTime(INVISIBLE_MS);
        consumer.subscribe(context.topic("poppush"), "TagA || TagB");
        consumer.registerMessageListener((MessageListenerConcurrently) (all, consuming) -> consume(name, all, consuming));
        consumer.start();
        return consumer;
    }

    private ConsumeConcurrentlyStatus consume(String consumer, List<MessageExt> all, ConsumeConcurrentlyContext consuming) {
        for (MessageExt message : all) {
            Queue<Delivery> earlier = deliveries.computeIfAbsent(message.getKeys(), key -> new ConcurrentLinkedQueue<>());
            boolean first = earlier.isEmpty();
            earlier.add(new Delivery(consumer, message.getReconsumeTimes(), message.getTopic(), message.getQueueId()));
            if (first && message.getKeys().startsWith(REFUSED)) {
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
        }
        return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
    }

    private String sendAndAwait(String prefix) throws Exception {
        context.sendToEach(queues, prefix, COUNT / queues.size());
        awaitAll(prefix, COUNT);
        for (String key : ScenarioContext.wantedKeys(prefix, COUNT)) {
            int times = deliveries.get(key).size();
            Clients.expect(times == 1 || context.isSentAgain(context.topic("poppush"), key), key + " was delivered " + times + " times");
        }
        Clients.expect(
            deliveries.keySet().stream().noneMatch(key -> key.startsWith(prefix) && !wanted(prefix).contains(key)),
            "messages with another tag came");
        return wanted(prefix).size() + " " + prefix + " came once each";
    }

    private void awaitAll(String prefix, int count) throws Exception {
        List<String> wanted = ScenarioContext.wantedKeys(prefix, count);
        Clients.until("all of " + prefix + " is delivered", () -> deliveries.keySet().containsAll(wanted));
    }

    /** The client has it come again after its first level of ten seconds. */
    private void sendRefused(String phase) throws Exception {
        String key = REFUSED + "-" + phase;
        var message = context.message(queues.get(0).getTopic(), REFUSED, 0);
        message.setKeys(key);
        context.send(message, queues.get(0));
        Clients.until(key + " is delivered twice", () -> deliveries.containsKey(key) && deliveries.get(key).size() >= 2);
        List<Delivery> both = List.copyOf(deliveries.get(key));
        Clients.expectEqual(both.get(0).reconsumeTimes(), 0, "reconsumeTimes of the first delivery");
        Clients.expectEqual(both.get(1).reconsumeTimes(), 1, "reconsumeTimes of the second delivery");
        Clients.expectEqual(both.get(1).topic(), queues.get(0).getTopic(), "topic of the second delivery");
    }

    private static Set<String> wanted(String prefix) {
        return Set.copyOf(ScenarioContext.wantedKeys(prefix, COUNT));
    }
}
