package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragelyByCircle;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueConsistentHash;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Two consumers share queues by each strategy; when one is cut off, the other has all of them at once, not only at its next look 20
 * seconds later, also when it is cut off while the leader dies. A subscription that is changed counts from then on, for its group alone.
 */
final class Rebalance implements Scenario {
    /** Clients look by themselves every 20 s. */
    private static final long NOTICED_MS_MAX = 10_000;
    /** A client that is told at once may ask the dead broker who is left. 4.9.8 does not ask again before its next look. */
    private static final long NOTICED_THROUGH_MS_MAX = 30_000;

    private final ScenarioContext context;
    /** Groups that are there when the leader dies: two that share queues, one that changes, others beside it by their tags. */
    private List<DefaultMQPushConsumer> pair;
    private Changing changing;
    private final Map<String, Inbox> others = new LinkedHashMap<>();
    private final List<DefaultMQPushConsumer> otherConsumers = new ArrayList<>();

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
        long slowestMs = crash("average", share("average", new AllocateMessageQueueAveragely()), NOTICED_MS_MAX);
        slowestMs = Math.max(slowestMs, crash("circle", share("circle", new AllocateMessageQueueAveragelyByCircle()), NOTICED_MS_MAX));
        slowestMs = Math.max(slowestMs, crash("hash", share("hash", new AllocateMessageQueueConsistentHash()), NOTICED_MS_MAX));
        new Changing("before").change();
        // Clients that have just begun may need their 20 seconds.
        pair = share("through", new AllocateMessageQueueAveragely());
        changing = new Changing("through");
        for (String tags : List.of("TagB", "TagB || TagA", "*")) {
            Inbox inbox = new Inbox();
            others.put(tags, inbox);
            otherConsumers.add(consumer(changing.topic, context.group("other" + others.size()), tags, inbox));
        }
        return "3 strategies; a crash noticed after " + slowestMs + " ms; a subscription changed";
    }

    @Override
    public String through(Middle middle) throws Exception {
        awaitShared("through", pair);
        List<String> first = new ArrayList<>();
        middle.repeat(n -> {
            send(changing.topic, "TagA", "swing-" + n);
            first.add("swing-" + n);
        });
        // One is cut off while there is no leader yet, or just one.
        long noticedMs = crash("through", pair, NOTICED_THROUGH_MS_MAX);
        changing.inbox.awaitAll("the first subscription", first);
        changing.change();
        List<String> byA = new ArrayList<>(first);
        byA.add("first");
        List<String> byB = new ArrayList<>(List.of("unwanted"));
        expectExactly("TagB", byB);
        byB.addAll(byA);
        expectExactly("TagB || TagA", byB);
        byB.addAll(changing.changed);
        expectExactly("*", byB);
        otherConsumers.forEach(DefaultMQPushConsumer::shutdown);
        return "a crash noticed after " + noticedMs + " ms; a subscription changed; " + first.size()
            + " sent while the leader died, to each of four groups what it asked for";
    }

    private void expectExactly(String tags, List<String> wanted) throws Exception {
        Inbox inbox = others.get(tags);
        inbox.awaitAll("the group by " + tags, wanted);
        inbox.expectExactly("the group by " + tags, wanted, key -> context.isSentAgain(changing.topic, key) || key.equals("second"));
    }

    private DefaultMQPushConsumer consumer(String topic, String group, String tags, Inbox inbox) throws Exception {
        DefaultMQPushConsumer consumer = context.clients.pushConsumer(group);
        consumer.subscribe(topic, tags);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> {
            inbox.add(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    private List<DefaultMQPushConsumer> share(String name, AllocateMessageQueueStrategy strategy) throws Exception {
        List<DefaultMQPushConsumer> pair = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            DefaultMQPushConsumer consumer = context.clients.pushConsumer(context.group("share_" + name));
            consumer.setAllocateMessageQueueStrategy(strategy);
            consumer.subscribe(context.topic("share"), "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
            consumer.start();
            pair.add(consumer);
        }
        awaitShared(name, pair);
        return pair;
    }

    private void awaitShared(String name, List<DefaultMQPushConsumer> pair) throws Exception {
        Clients.until("two consumers share the queues by " + name, () -> {
            Set<Integer> all = new HashSet<>(queuesOf(pair.get(0)));
            all.addAll(queuesOf(pair.get(1)));
            boolean isDisjoint = queuesOf(pair.get(0)).size() + queuesOf(pair.get(1)).size() == all.size();
            // By hash, one of two may well have all of four.
            boolean isShared = name.equals("hash") || queuesOf(pair.get(0)).size() < context.queueCount;
            return isDisjoint && isShared && all.size() == context.queueCount;
        });
    }

    /** Returns how long after the crash of one consumer the other has all queues. */
    private long crash(String name, List<DefaultMQPushConsumer> pair, long noticedMsMax) throws Exception {
        long crashedAt = System.nanoTime();
        // Its connections close; it says nothing to anybody.
        pair.get(0).getDefaultMQPushConsumerImpl().getmQClientFactory().getMQClientAPIImpl().getRemotingClient().shutdown();
        Clients.until("the other consumer has all queues by " + name, () -> queuesOf(pair.get(1)).size() == context.queueCount);
        long noticedMs = (System.nanoTime() - crashedAt) / 1_000_000;
        Clients.expect(noticedMs < noticedMsMax, "the crash was noticed after " + noticedMs + " ms");
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

    /** A group whose subscription changes while it consumes. */
    private final class Changing {
        final String topic;
        final Inbox inbox = new Inbox();
        /** Sent once the second subscription was made. */
        final List<String> changed = new ArrayList<>();
        private final DefaultMQPushConsumer consumer;

        Changing(String phase) throws Exception {
            topic = context.topic("change_" + phase);
            context.createTopic(topic);
            consumer = consumer(topic, context.group("change_" + phase), "TagA", inbox);
            send(topic, "TagB", "unwanted");
            send(topic, "TagA", "first");
            inbox.awaitAll("the first subscription", List.of("first"));
        }

        void change() throws Exception {
            consumer.subscribe(topic, "TagC || TagD");
            // Again and again: one may be looked at for the old tags.
            Clients.until("the second subscription counts", () -> {
                send(topic, "TagC", "second");
                return inbox.hasAll(List.of("second"));
            });
            changed.add("second");
            for (int i = 0; i < context.queueCount; i++) {
                send(topic, "TagD", "last-" + i);
                changed.add("last-" + i);
            }
            inbox.awaitAll("the second subscription", changed);
            Clients.expect(!inbox.hasAll(List.of("unwanted")), "came though not subscribed");
            consumer.shutdown();
        }
    }

    private void send(String topic, String tag, String key) throws Exception {
        context.send(new Message(topic, tag, key, key.getBytes(StandardCharsets.UTF_8)), null);
    }
}
