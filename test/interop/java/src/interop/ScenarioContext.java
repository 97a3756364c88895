package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.store.OffsetStore;
import org.apache.rocketmq.client.consumer.store.ReadOffsetType;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** What every scenario is given: clients, a shared producer, and a topic and group of its own. */
final class ScenarioContext {
    static final String[] TAGS = {"TagA", "TagB", "TagC"};

    final Clients clients;
    final DefaultMQProducer producer;
    final int queueCount;
    private final String baseTopic;
    /** Topic and key of what was sent more than once. */
    private final Set<String> sentAgain = ConcurrentHashMap.newKeySet();

    ScenarioContext(Clients clients, DefaultMQProducer producer, String baseTopic, int queueCount) {
        this.clients = clients;
        this.producer = producer;
        this.baseTopic = baseTopic;
        this.queueCount = queueCount;
    }

    String topic(String scenario) {
        return baseTopic + "_" + scenario;
    }

    String group(String scenario) {
        return "G_" + baseTopic + "_" + scenario;
    }

    List<MessageQueue> createTopic(String topic) throws Exception {
        List<MessageQueue> queues = new ArrayList<>(clients.createTopic(producer, topic, queueCount));
        queues.sort((a, b) -> Integer.compare(a.getQueueId(), b.getQueueId()));
        return queues;
    }

    /** Message n of a series: key PREFIX-n, the tags in turn. */
    Message message(String topic, String prefix, int n) {
        String key = prefix + "-" + n;
        return new Message(topic, TAGS[n % TAGS.length], key, ("body of " + key).getBytes(StandardCharsets.UTF_8));
    }

    /**
     * Sends until it is acknowledged, as a program does that must not lose it. What was stored without an answer, by a leader that died or was
     * slow, is then there twice.
     */
    SendResult sendBy(Callable<SendResult> attempt, Message message) throws Exception {
        int[] attempts = {0};
        return Clients.send(message.getKeys() + " is acknowledged", () -> {
            if (++attempts[0] == 2) {
                sentAgain.add(message.getTopic() + " " + message.getKeys());
            }
            return attempt.call();
        });
    }

    SendResult send(DefaultMQProducer sender, Message message, MessageQueue queue) throws Exception {
        return sendBy(() -> queue == null ? sender.send(message) : sender.send(message, queue), message);
    }

    SendResult send(Message message, MessageQueue queue) throws Exception {
        return send(producer, message, queue);
    }

    /** Whether this may be in the log more than once. */
    boolean isSentAgain(String topic, String key) {
        return sentAgain.contains(topic + " " + key);
    }

    /** Whether a consumer has it behind itself, as it tells the broker next. */
    static boolean isDoneWith(DefaultMQPushConsumer consumer, SendResult sent) {
        OffsetStore offsets = consumer.getDefaultMQPushConsumerImpl().getOffsetStore();
        return offsets.readOffset(sent.getMessageQueue(), ReadOffsetType.READ_FROM_MEMORY) > sent.getQueueOffset();
    }

    /** Sends `perQueue` messages to each queue, one after the other; returns the answers. */
    List<SendResult> sendToEach(List<MessageQueue> queues, String prefix, int perQueue) throws Exception {
        List<SendResult> results = new ArrayList<>();
        for (int n = 0; n < perQueue * queues.size(); n++) {
            MessageQueue queue = queues.get(n % queues.size());
            results.add(send(message(queue.getTopic(), prefix, n), queue));
        }
        return results;
    }

    /** The keys of such a series whose tag is TagA or TagB. */
    static List<String> wantedKeys(String prefix, int count) {
        List<String> keys = new ArrayList<>();
        for (int n = 0; n < count; n++) {
            if (n % TAGS.length != 2) {
                keys.add(prefix + "-" + n);
            }
        }
        return keys;
    }
}
