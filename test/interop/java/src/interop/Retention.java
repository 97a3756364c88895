package interop;

import static interop.Events.check;

import java.util.List;
import java.util.concurrent.ConcurrentSkipListMap;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Consumers of one queue whose oldest messages are removed, through a failover: one that is ahead, one that is stopped, one that is
 * paused, one that pulls, and one that comes anew. Those below the minimum are told it and go on there; the first one sees nothing of it.
 *
 *   before, after    before and after the death of the leader   → check…, done
 *   exit             shuts everything down                      → done, exit status 0
 *
 * Arguments: NAMESRV TOPIC GROUP. The topic has one queue, and the log is so short that a backlog does not fit.
 */
@SuppressWarnings("deprecation")
public final class Retention {
    private static final int FIRST = 10;
    private static final int STOPPED_AT = 5;
    private static final int BACKLOG = 2_500;
    /** Less than what the producer compresses. */
    private static final int BODY_BYTES = 4_000;
    private static final long PULL_TIMEOUT_MS = 5_000;
    /** What is not removed in this time stays. */
    private static final long STABLE_MS = 15_000;

    private final Clients clients;
    private final DefaultMQProducer producer;
    private final String topic;
    private final String group;
    private MessageQueue queue;
    private DefaultMQPullConsumer pulling;
    private Receiver ahead;
    private Receiver paused;
    private Receiver stopped;
    private int sent;
    /** The minimum at which those that were below it went on. */
    private long movedTo;

    private Retention(String namesrv, String topic, String group) throws Exception {
        this.clients = new Clients(namesrv);
        this.producer = clients.producer(group + "_producer");
        this.topic = topic;
        this.group = group;
    }

    public static void main(String[] arguments) throws Exception {
        Retention retention = new Retention(arguments[0], arguments[1], arguments[2]);
        CommandLoop.run(words -> {
            switch (words[0]) {
                case "before" -> retention.before();
                case "after" -> retention.after();
                case "exit" -> retention.producer.shutdown();
                default -> throw CommandLoop.noSuchCommand(words);
            }
        });
    }

    private void before() throws Exception {
        Clients.until("the topic has its route", () -> producer.fetchPublishMessageQueues(topic).size() == 1);
        queue = producer.fetchPublishMessageQueues(topic).get(0);
        pulling = pullConsumer(group + "_pulling");
        send(FIRST);
        ahead = new Receiver("ahead");
        paused = new Receiver("paused");
        ahead.await(0, FIRST);
        paused.await(0, FIRST);
        paused.consumer.suspend();
        DefaultMQPullConsumer stopping = pullConsumer(group + "_stopped");
        stopping.updateConsumeOffset(queue, STOPPED_AT);
        stopping.getDefaultMQPullConsumerImpl().getOffsetStore().persist(queue);
        Clients.until("the offset is kept", () -> stopping.fetchConsumeOffset(queue, true) == STOPPED_AT);
        stopping.shutdown();

        send(BACKLOG);
        ahead.await(0, sent);
        movedTo = stableMinimum(FIRST);
        check("the queue's minimum follows the log", "first offset " + movedTo + " of " + sent);
        checkPull(movedTo);
        stopped = new Receiver("stopped");
        paused.consumer.resume();
        stopped.await(movedTo, sent);
        paused.await(movedTo, sent);
        stopped.expectOnly(0, movedTo, sent);
        // What waited at the broker as it was paused was still given to it.
        paused.expectOnly(2 * FIRST + 32, movedTo, sent);
        for (Receiver receiver : List.of(stopped, paused)) {
            Clients.until(receiver.name + " says where it is", () -> committed(receiver) == sent);
        }
        check("push consumers below it go on there", "stopped at " + STOPPED_AT + ", paused at " + FIRST + ", both from " + movedTo);
        ahead.expectOnly(0, 0, sent);
        check("a consumer that is ahead sees nothing of it", sent + " messages, each once");
    }

    private void after() throws Exception {
        int known = sent;
        send(FIRST);
        for (Receiver receiver : List.of(ahead, paused, stopped)) {
            receiver.await(known, sent);
        }
        long minimum = pulling.minOffset(queue);
        Clients.expect(minimum >= movedTo, "the minimum goes back to " + minimum);
        checkPull(minimum);
        stopped.consumer.shutdown();
        int stoppedAt = sent;
        send(BACKLOG);
        ahead.await(0, sent);
        long now = stableMinimum(stoppedAt);
        checkPull(now);
        Receiver anew = new Receiver("anew");
        Receiver again = new Receiver("stopped");
        anew.await(now, sent);
        again.await(now, sent);
        anew.expectOnly(0, now, sent);
        again.expectOnly(0, now, sent);
        check("so it is with another leader", "a new group and one that stopped at " + stoppedAt + " begin at " + now);
        ahead.expectOnly(0, 0, sent);
        paused.expectOnly(2 * FIRST + 32, movedTo, sent);
        check("consumers that are ahead see nothing of it", sent + " messages, each once");
        for (Receiver receiver : List.of(ahead, paused, anew, again)) {
            receiver.consumer.shutdown();
        }
        pulling.shutdown();
    }

    private void checkPull(long minimum) throws Exception {
        for (long offset : new long[] {0, minimum - 1}) {
            PullResult below = pulling.pull(queue, "*", offset, 32, PULL_TIMEOUT_MS);
            Clients.expectEqual(below.getPullStatus(), PullStatus.OFFSET_ILLEGAL, "a pull at " + offset);
            Clients.expectEqual(below.getNextBeginOffset(), minimum, "where to go on from " + offset);
            Clients.expectEqual(below.getMinOffset(), minimum, "the minimum that it is told");
        }
        PullResult first = pulling.pull(queue, "*", minimum, 32, PULL_TIMEOUT_MS);
        Clients.expectEqual(first.getPullStatus(), PullStatus.FOUND, "a pull at the minimum");
        MessageExt message = first.getMsgFoundList().get(0);
        Clients.expectEqual(message.getQueueOffset(), minimum, "the first message");
        Clients.expectEqual(message.getKeys(), key(minimum), "the first message");
        check("a pull consumer below the minimum is told it", "OFFSET_ILLEGAL, go on at " + minimum);
    }

    /** The minimum, once it is beyond this offset and does not move any more. */
    private long stableMinimum(long beyond) throws Exception {
        Clients.until("the minimum is beyond " + beyond, () -> pulling.minOffset(queue) > beyond);
        long minimum = pulling.minOffset(queue);
        for (long since = System.nanoTime(); System.nanoTime() - since < STABLE_MS * 1_000_000;) {
            Thread.sleep(500);
            long now = pulling.minOffset(queue);
            if (now != minimum) {
                Clients.expect(now > minimum, "the minimum goes back from " + minimum + " to " + now);
                minimum = now;
                since = System.nanoTime();
            }
        }
        return minimum;
    }

    private long committed(Receiver receiver) throws Exception {
        return receiver.consumer.getDefaultMQPushConsumerImpl().getOffsetStore()
            .readOffset(queue, org.apache.rocketmq.client.consumer.store.ReadOffsetType.READ_FROM_STORE);
    }

    private void send(int count) throws Exception {
        for (int i = 0; i < count; i++, sent++) {
            Message message = new Message(topic, "TagA", key(sent), new byte[BODY_BYTES]);
            SendResult stored = Clients.send("a message is acknowledged", () -> producer.send(message));
            Clients.expectEqual(stored.getQueueOffset(), (long) sent, "the place of " + key(sent));
        }
    }

    private static String key(long number) {
        return "m" + number;
    }

    private DefaultMQPullConsumer pullConsumer(String name) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(name);
        clients.configure(consumer, "pull");
        consumer.start();
        consumer.fetchSubscribeMessageQueues(topic);
        return consumer;
    }

    /** A push consumer with a group of its own, and how often each offset came. */
    private final class Receiver {
        final String name;
        final DefaultMQPushConsumer consumer;
        private final ConcurrentSkipListMap<Long, Integer> offsets = new ConcurrentSkipListMap<>();

        Receiver(String name) throws Exception {
            this.name = name;
            consumer = clients.pushConsumer(group + "_" + name);
            consumer.subscribe(topic, "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                for (MessageExt message : messages) {
                    offsets.merge(message.getQueueOffset(), 1, Integer::sum);
                }
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
        }

        void await(long from, long to) throws Exception {
            Clients.until(name + " got " + from + " to " + to, () -> offsets.subMap(from, to).size() == to - from);
        }

        /** Nothing twice, and nothing but what is below the first number, and from the second to the third. */
        void expectOnly(long below, long from, long to) {
            for (var entry : offsets.entrySet()) {
                long offset = entry.getKey();
                Clients.expect(entry.getValue() == 1, name + " got " + offset + " " + entry.getValue() + " times");
                Clients.expect(offset < below || (offset >= from && offset < to), name + " got " + offset);
            }
        }
    }
}
