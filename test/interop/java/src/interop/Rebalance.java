package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragelyByCircle;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueConsistentHash;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Two consumers share queues by each strategy; when one is cut off, the other has all of them at once, not only at its next look 20
 * seconds later. A subscription that is changed counts from then on.
 */
final class Rebalance implements Scenario {
    /** Clients look by themselves every 20 s. */
    private static final long NOTICED_MS_MAX = 10_000;

    private final ScenarioContext context;

    Rebalance(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "rebalance";
    }

    @Override
    public String before() throws Exception {
        context.createTopic(context.topic("share"));
        long slowestMs = shareAndCrash("average", new AllocateMessageQueueAveragely());
        slowestMs = Math.max(slowestMs, shareAndCrash("circle", new AllocateMessageQueueAveragelyByCircle()));
        slowestMs = Math.max(slowestMs, shareAndCrash("hash", new AllocateMessageQueueConsistentHash()));
        changeSubscription("before");
        return "3 strategies; a crash noticed after " + slowestMs + " ms; a subscription changed";
    }

    @Override
    public String after() throws Exception {
        long noticedMs = shareAndCrash("after", new AllocateMessageQueueAveragely());
        changeSubscription("after");
        return "a crash noticed after " + noticedMs + " ms; a subscription changed";
    }

    /** Returns how long after the crash of one consumer the other has all queues. */
    private long shareAndCrash(String name, AllocateMessageQueueStrategy strategy) throws Exception {
        List<DefaultMQPushConsumer> pair = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            DefaultMQPushConsumer consumer = context.clients.pushConsumer(context.group("share_" + name));
            consumer.setAllocateMessageQueueStrategy(strategy);
            consumer.subscribe(context.topic("share"), "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
            consumer.start();
            pair.add(consumer);
        }
        Clients.until("two consumers share the queues by " + name, () -> {
            Set<Integer> all = new HashSet<>(queuesOf(pair.get(0)));
            all.addAll(queuesOf(pair.get(1)));
            boolean isDisjoint = queuesOf(pair.get(0)).size() + queuesOf(pair.get(1)).size() == all.size();
            // By hash, one of two may well have all of four.
            boolean isShared = name.equals("hash") || queuesOf(pair.get(0)).size() < context.queueCount;
            return isDisjoint && isShared && all.size() == context.queueCount;
        });
        long crashedAt = System.nanoTime();
        // Its connections close; it says nothing to anybody.
        pair.get(0).getDefaultMQPushConsumerImpl().getmQClientFactory().getMQClientAPIImpl().getRemotingClient().shutdown();
        Clients.until("the other consumer has all queues by " + name, () -> queuesOf(pair.get(1)).size() == context.queueCount);
        long noticedMs = (System.nanoTime() - crashedAt) / 1_000_000;
        Clients.expect(noticedMs < NOTICED_MS_MAX, "the crash was noticed after " + noticedMs + " ms");
        pair.get(1).shutdown();
        return noticedMs;
    }

    private Set<Integer> queuesOf(DefaultMQPushConsumer consumer) {
        Set<Integer> ids = new HashSet<>();
        for (MessageQueue queue : consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()) {
            if (queue.getTopic().equals(context.topic("share"))) {
                ids.add(queue.getQueueId());
            }
        }
        return ids;
    }

    private void changeSubscription(String phase) throws Exception {
        String topic = context.topic("change_" + phase);
        context.createTopic(topic);
        Set<String> received = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = context.clients.pushConsumer(context.group("change_" + phase));
        consumer.subscribe(topic, "TagA");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> {
            for (MessageExt message : messages) {
                received.add(message.getKeys());
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        send(topic, "TagB", "unwanted");
        send(topic, "TagA", "first");
        Clients.until("the first subscription counts", () -> received.contains("first"));
        consumer.subscribe(topic, "TagC || TagD");
        // Again and again: one may be looked at for the old tags.
        Clients.until("the second subscription counts", () -> {
            send(topic, "TagC", "second");
            return received.contains("second");
        });
        for (int i = 0; i < context.queueCount; i++) {
            send(topic, "TagD", "last-" + i);
        }
        Clients.until("everything after it comes", () -> {
            for (int i = 0; i < context.queueCount; i++) {
                if (!received.contains("last-" + i)) {
                    return false;
                }
            }
            return true;
        });
        Clients.expect(!received.contains("unwanted"), "came though not subscribed: " + received);
        consumer.shutdown();
    }

    private void send(String topic, String tag, String key) throws Exception {
        Clients.send(context.producer, new Message(topic, tag, key, key.getBytes(StandardCharsets.UTF_8)), null);
    }
}
