package interop;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * The pull consumer: queues, smallest and largest offset, pulls with and without a tag, offsets out of range, offset by
 * time, and offsets kept at the broker. What a pull returned before the failover it returns after it, offset for offset.
 */
@SuppressWarnings("deprecation")
final class Pull implements Scenario {
    private static final int PER_QUEUE = 6;
    private static final long COMMITTED = 3;
    private static final long PULL_TIMEOUT_MS = 5000;

    private final ScenarioContext context;
    private List<MessageQueue> queues;
    private DefaultMQPullConsumer consumer;
    private final TreeMap<String, String> seen = new TreeMap<>();

    Pull(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "pull consumer";
    }

    @Override
    public String before() throws Exception {
        queues = context.createTopic(context.topic("pull"));
        context.sendToEach(queues, "pull", PER_QUEUE);
        consumer = start();
        Set<MessageQueue> subscribed = consumer.fetchSubscribeMessageQueues(context.topic("pull"));
        Clients.expectEqual(subscribed.size(), queues.size(), "queues to subscribe to");
        for (MessageQueue queue : queues) {
            checkRange(queue);
            checkTimes(queue);
            List<MessageExt> all = pullAll(queue, "*");
            for (MessageExt message : all) {
                seen.put(queue.getQueueId() + "/" + message.getQueueOffset(), message.getKeys());
            }
            Clients.expectEqual(all.size(), PER_QUEUE, "messages in " + queue);
            long tagged = all.stream().filter(message -> message.getTags().equals("TagB")).count();
            Clients.expectEqual((long) pullAll(queue, "TagB").size(), tagged, "messages with TagB in " + queue);
            consumer.updateConsumeOffset(queue, COMMITTED);
            consumer.getDefaultMQPullConsumerImpl().getOffsetStore().persist(queue);
        }
        checkCommitted();
        return seen.size() + " messages";
    }

    @Override
    public String after() throws Exception {
        consumer.shutdown();
        consumer = start();
        consumer.fetchSubscribeMessageQueues(context.topic("pull"));
        checkCommitted();
        for (MessageQueue queue : queues) {
            checkRange(queue);
            checkTimes(queue);
            for (MessageExt message : pullAll(queue, "*")) {
                String place = queue.getQueueId() + "/" + message.getQueueOffset();
                Clients.expectEqual(message.getKeys(), String.valueOf(seen.get(place)), "message at " + place);
            }
        }
        consumer.shutdown();
        return seen.size() + " messages where they were";
    }

    private DefaultMQPullConsumer start() throws Exception {
        DefaultMQPullConsumer started = new DefaultMQPullConsumer(context.group("pull"));
        context.clients.configure(started, "pull");
        started.start();
        return started;
    }

    private void checkRange(MessageQueue queue) throws Exception {
        Clients.until("the range of " + queue, () -> consumer.minOffset(queue) == 0 && consumer.maxOffset(queue) == PER_QUEUE);
        PullResult beyond = consumer.pull(queue, "*", 100, 32, PULL_TIMEOUT_MS);
        Clients.expectEqual(beyond.getPullStatus(), PullStatus.OFFSET_ILLEGAL, "a pull beyond the end");
        Clients.expectEqual(beyond.getNextBeginOffset(), (long) PER_QUEUE, "where to go on from there");
        Clients.expectEqual(consumer.pull(queue, "*", PER_QUEUE, 32, PULL_TIMEOUT_MS).getPullStatus(), PullStatus.NO_NEW_MSG,
            "a pull at the end");
    }

    private void checkTimes(MessageQueue queue) throws Exception {
        List<MessageExt> all = pullAll(queue, "*");
        for (MessageExt message : all) {
            long first = all.stream().filter(other -> other.getStoreTimestamp() == message.getStoreTimestamp())
                .mapToLong(MessageExt::getQueueOffset).min().getAsLong();
            Clients.expectEqual(consumer.searchOffset(queue, message.getStoreTimestamp()), first,
                "offset by the store time of " + message.getKeys());
        }
        Clients.expectEqual(consumer.searchOffset(queue, 0), 0L, "offset by time 0");
    }

    private void checkCommitted() throws Exception {
        for (MessageQueue queue : queues) {
            Clients.until("the broker keeps the offset of " + queue, () -> consumer.fetchConsumeOffset(queue, true) == COMMITTED);
        }
    }

    private List<MessageExt> pullAll(MessageQueue queue, String tags) throws Exception {
        List<MessageExt> all = new ArrayList<>();
        long offset = 0;
        while (offset < PER_QUEUE) {
            PullResult result = consumer.pull(queue, tags, offset, 4, PULL_TIMEOUT_MS);
            Clients.expect(result.getNextBeginOffset() > offset, "a pull moves on, also over what its tags leave out");
            offset = result.getNextBeginOffset();
            if (result.getPullStatus() == PullStatus.FOUND) {
                all.addAll(result.getMsgFoundList());
            } else {
                Clients.expectEqual(result.getPullStatus(), PullStatus.NO_MATCHED_MSG, "a pull with nothing found");
            }
        }
        return all;
    }
}
