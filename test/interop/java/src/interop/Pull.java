package interop;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * The pull consumer: queues, smallest and largest offset, pulls with and without a tag, offsets out of range, offset by
 * time, and offsets kept at the broker. What a pull returned before the leader died it returns while
 * it dies and after it, offset for offset.
 */
@SuppressWarnings("deprecation")
final class Pull implements Scenario {
    private static final int PER_QUEUE = 6;
    private static final long COMMITTED = 3;
    private static final long PULL_TIMEOUT_MS = 5000;
    /** The client tells offsets without waiting for an answer, and the leader appends them in batches: the last ones may die with it. */
    private static final long TOLD_LAG_MS = 5000;
    private static final long AGAIN_EVERY_MS = 100;

    private final ScenarioContext context;
    private List<MessageQueue> queues;
    private DefaultMQPullConsumer consumer;
    private final TreeMap<String, String> seen = new TreeMap<>();
    /** When the broker was told which offset, by queue. */
    private final Map<Integer, ConcurrentSkipListMap<Long, Long>> told = new HashMap<>();

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
        queues.forEach(queue -> told.put(queue.getQueueId(), new ConcurrentSkipListMap<>()));
        consumer = start("pull");
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
    public String through(Middle middle) throws Exception {
        MessageQueue waitedFor = context.createTopic(context.topic("pull_wait")).get(0);
        DefaultMQPullConsumer teller = start("pull_told");
        CompletableFuture<String> waiting = CompletableFuture.supplyAsync(() -> awaitMessage(teller, waitedFor));
        int count = middle.repeat(n -> {
            MessageQueue queue = queues.get(n % queues.size());
            Clients.until("what was in " + queue + " is pulled", () -> checkKept(queue) == PER_QUEUE);
            teller.updateConsumeOffset(queue, n);
            teller.getDefaultMQPullConsumerImpl().getOffsetStore().persist(queue);
            told.get(queue.getQueueId()).put(System.nanoTime(), (long) n);
        });
        context.send(context.message(waitedFor.getTopic(), "waited", 0), waitedFor);
        for (MessageQueue queue : queues) {
            checkTold(teller, queue, middle.killedAt());
        }
        consumer.shutdown();
        consumer = start("pull");
        consumer.fetchSubscribeMessageQueues(context.topic("pull"));
        checkCommitted();
        for (MessageQueue queue : queues) {
            checkRange(queue);
            checkTimes(queue);
            checkKept(queue);
        }
        Clients.expectEqual(waiting.get(Clients.WAIT_MS, TimeUnit.MILLISECONDS), "waited-0", "what a pull waited for");
        teller.shutdown();
        consumer.shutdown();
        return seen.size() + " messages where they were, pulled " + count + " times while the leader died; a pull that waited, made again";
    }

    /** Each message where it was at the first look. Returns how many there are. */
    private int checkKept(MessageQueue queue) throws Exception {
        List<MessageExt> all = pullAll(queue, "*");
        for (MessageExt message : all) {
            String place = queue.getQueueId() + "/" + message.getQueueOffset();
            Clients.expectEqual(message.getKeys(), String.valueOf(seen.get(place)), "message at " + place);
        }
        return all.size();
    }

    /** Waits at the broker, longer than the leader lives, and then at another. */
    private static String awaitMessage(DefaultMQPullConsumer waiter, MessageQueue queue) {
        while (true) {
            try {
                PullResult result = waiter.pullBlockIfNotFound(queue, "*", 0, 1);
                if (result.getPullStatus() == PullStatus.FOUND) {
                    return result.getMsgFoundList().get(0).getKeys();
                }
            } catch (InterruptedException interrupted) {
                return "interrupted";
            } catch (Exception failed) {
                failed.printStackTrace();
                pause();
            }
        }
    }

    private static void pause() {
        try {
            Thread.sleep(AGAIN_EVERY_MS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** The broker has what it was told a while before its leader died, or what it was told since. Then it is told more, and has that. */
    private void checkTold(DefaultMQPullConsumer teller, MessageQueue queue, long killedAt) throws Exception {
        ConcurrentSkipListMap<Long, Long> all = told.get(queue.getQueueId());
        var sure = all.floorEntry(killedAt - TOLD_LAG_MS * 1_000_000);
        Clients.until("the broker says an offset of " + queue, () -> teller.fetchConsumeOffset(queue, true) >= -1);
        long kept = teller.fetchConsumeOffset(queue, true);
        Clients.expect(sure == null || kept >= sure.getValue(), "the broker was told " + sure + " in time and has " + kept + " of " + queue);
        Clients.expect(kept == -1 || all.containsValue(kept), "the broker was never told " + kept + " of " + queue);
        long more = all.lastEntry().getValue() + 1;
        Clients.until("the broker has what it was told last of " + queue, () -> {
            teller.updateConsumeOffset(queue, more);
            teller.getDefaultMQPullConsumerImpl().getOffsetStore().persist(queue);
            return teller.fetchConsumeOffset(queue, true) == more;
        });
    }

    private DefaultMQPullConsumer start(String group) throws Exception {
        DefaultMQPullConsumer started = new DefaultMQPullConsumer(context.group(group));
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
