package interop;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Two orderly consumers share the queues by broker-side locks: each queue is handed out in order, by one consumer at a
 * time, with no gap, also while the leader dies.
 */
final class Orderly implements Scenario {
    private static final int PER_QUEUE = 25;
    private static final int CONSUMERS = 2;
    private static final String ROUND = "round";

    private final ScenarioContext context;
    private final List<DefaultMQPushConsumer> consumers = new ArrayList<>();
    private final TreeMap<Integer, Integer> nextOfQueue = new TreeMap<>();
    private final Set<Integer> busyQueues = new HashSet<>();
    private final Set<Integer> consumersSeen = new HashSet<>();
    private final Set<String> violations = new HashSet<>();
    private int repeated;
    /** Behind what was acknowledged. */
    private final TreeMap<Integer, Integer> endOfQueue = new TreeMap<>();
    private final TreeMap<Integer, Integer> lastRound = new TreeMap<>();
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
    public String through(Middle middle) throws Exception {
        int rounds = middle.repeat(this::sendRound);
        String seen = sendAndAwait("after");
        synchronized (this) {
            for (MessageQueue queue : queues) {
                Clients.expectEqual(lastRound.get(queue.getQueueId()), rounds - 1, "the last round in " + queue);
            }
        }
        consumers.forEach(DefaultMQPushConsumer::shutdown);
        return seen + ", " + rounds + " to each queue while the leader died, " + repeated + " handed out again";
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
                    continue;
                } else {
                    violations.add("queue " + queueId + " jumped from " + next + " to " + number);
                }
                checkRound(queueId, message.getKeys());
            }
            busyQueues.remove(queueId);
        }
        return ConsumeOrderlyStatus.SUCCESS;
    }

    /** One message to each queue, sent again until it is acknowledged: in its queue it is behind those of the rounds before. */
    private void sendRound(int round) throws Exception {
        for (int shard = 0; shard < queues.size(); shard++) {
            send(context.message(context.topic("orderly"), ROUND, round * queues.size() + shard), shard);
        }
    }

    private void checkRound(int queueId, String key) {
        if (!key.startsWith(ROUND)) {
            return;
        }
        int round = Integer.parseInt(key.substring(ROUND.length() + 1)) / queues.size();
        int last = lastRound.getOrDefault(queueId, -1);
        boolean isAgain = round == last && context.isSentAgain(context.topic("orderly"), key);
        if (round != last + 1 && !isAgain) {
            violations.add("queue " + queueId + " has round " + round + " behind round " + last);
        }
        lastRound.put(queueId, round);
    }

    /** The selector is how applications shard: the same argument always goes to the same queue. */
    private void send(Message message, int shard) throws Exception {
        SendResult sent = context.sendBy(
            () -> context.producer.send(message, (all, ignored, argument) -> queues.get((Integer) argument), shard), message);
        endOfQueue.put(sent.getMessageQueue().getQueueId(), (int) sent.getQueueOffset() + 1);
    }

    private String sendAndAwait(String prefix) throws Exception {
        for (int n = 0; n < PER_QUEUE * queues.size(); n++) {
            send(context.message(context.topic("orderly"), prefix, n), n % queues.size());
        }
        Clients.until("all ordered messages are consumed", () -> {
            synchronized (this) {
                return endOfQueue.entrySet().stream().allMatch(end -> nextOfQueue.getOrDefault(end.getKey(), 0) >= end.getValue());
            }
        });
        synchronized (this) {
            Clients.expect(violations.isEmpty(), "order is kept: " + Clients.some(violations));
            Clients.expectEqual(consumersSeen.size(), CONSUMERS, "consumers that took part");
            return nextOfQueue.values().stream().mapToInt(n -> n).sum() + " in order by " + CONSUMERS;
        }
    }
}
