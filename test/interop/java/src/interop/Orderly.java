package interop;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Two orderly consumers share the queues by broker-side locks: each queue is handed out in order, by one consumer at a
 * time, with no gap, before and after the failover.
 */
final class Orderly implements Scenario {
    private static final int PER_QUEUE = 25;
    private static final int CONSUMERS = 2;

    private final ScenarioContext context;
    private final List<DefaultMQPushConsumer> consumers = new ArrayList<>();
    private final TreeMap<Integer, Integer> nextOfQueue = new TreeMap<>();
    private final Set<Integer> busyQueues = new HashSet<>();
    private final Set<Integer> consumersSeen = new HashSet<>();
    private final Set<String> violations = new HashSet<>();
    private int repeated;
    private int sentPerQueue;
    private List<MessageQueue> queues;

    Orderly(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "orderly consumers";
    }

    @Override
    public String before() throws Exception {
        queues = context.createTopic(context.topic("orderly"));
        for (int i = 0; i < CONSUMERS; i++) {
            int number = i;
            DefaultMQPushConsumer consumer = context.clients.pushConsumer(context.group("orderly"));
            consumer.subscribe(context.topic("orderly"), "*");
            consumer.setConsumeMessageBatchMaxSize(3);
            consumer.registerMessageListener((MessageListenerOrderly) (messages, ignored) -> consume(number, messages));
            consumer.start();
            consumers.add(consumer);
        }
        Clients.until("two consumers share the queues", () -> {
            Set<MessageQueue> held = new HashSet<>();
            for (DefaultMQPushConsumer consumer : consumers) {
                Set<MessageQueue> own = new HashSet<>(
                    consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet());
                own.retainAll(queues);
                if (own.size() != queues.size() / CONSUMERS) {
                    return false;
                }
                held.addAll(own);
            }
            return held.size() == queues.size();
        });
        String seen = sendAndAwait("before");
        Clients.expectEqual(repeated, 0, "messages handed out again");
        return seen;
    }

    @Override
    public String after() throws Exception {
        String seen = sendAndAwait("after");
        consumers.forEach(DefaultMQPushConsumer::shutdown);
        return seen + ", " + repeated + " handed out again";
    }

    private ConsumeOrderlyStatus consume(int consumer, List<MessageExt> messages) {
        int queueId = messages.get(0).getQueueId();
        synchronized (this) {
            if (!busyQueues.add(queueId)) {
                violations.add("queue " + queueId + " was handed to two consumers at once");
            }
            consumersSeen.add(consumer);
        }
        Thread.yield();
        synchronized (this) {
            for (MessageExt message : messages) {
                int next = nextOfQueue.getOrDefault(queueId, 0);
                int number = (int) message.getQueueOffset();
                if (number == next) {
                    nextOfQueue.put(queueId, next + 1);
                } else if (number < next) {
                    repeated++;
                } else {
                    violations.add("queue " + queueId + " jumped from " + next + " to " + number);
                }
            }
            busyQueues.remove(queueId);
        }
        return ConsumeOrderlyStatus.SUCCESS;
    }

    private String sendAndAwait(String prefix) throws Exception {
        for (int n = 0; n < PER_QUEUE * queues.size(); n++) {
            // The selector is how applications shard: the same argument always goes to the same queue.
            int shard = n % queues.size();
            var message = context.message(context.topic("orderly"), prefix, n);
            Clients.until("an ordered message is acknowledged", () ->
                context.producer.send(message, (all, ignored, argument) -> queues.get((Integer) argument), shard) != null);
        }
        sentPerQueue += PER_QUEUE;
        Clients.until("all ordered messages are consumed", () -> {
            synchronized (this) {
                return nextOfQueue.size() == queues.size() && nextOfQueue.values().stream().allMatch(n -> n >= sentPerQueue);
            }
        });
        synchronized (this) {
            Clients.expect(violations.isEmpty(), "order is kept: " + Clients.some(violations));
            Clients.expectEqual(consumersSeen.size(), CONSUMERS, "consumers that took part");
            return sentPerQueue * queues.size() + " in order by " + CONSUMERS;
        }
    }
}
