package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Consumers that filter: by SQL92 pushed and polled, also what comes again, and by tags whose hashes are equal, also while the
 * leader dies. A bad expression is refused when the consumer starts.
 */
final class Filters implements Scenario {
    private static final int COUNT = 60;
    /** One that is wanted by SQL. */
    private static final int REFUSED = 9;
    private static final int SUBSCRIPTION_PARSE_FAILED = 23;
    private static final String SQL =
        "n BETWEEN 5 AND 40 AND (color IN ('red', 'blue') OR price > 2.5) AND note IS NULL AND TAGS NOT CONTAINS 'x'";
    /** Equal as hashes, so only the client tells them apart. */
    private static final String[] TAGS = {"Aa", "BB", "x"};

    private final ScenarioContext context;
    private final Received bySql = new Received();
    private final Received byTag = new Received();
    private final Received polled = new Received();
    private final Set<String> wantedBySql = new HashSet<>();
    private final Set<String> wantedByTag = new HashSet<>();
    private DefaultMQPushConsumer sqlConsumer;
    private DefaultMQPushConsumer tagConsumer;
    private DefaultLitePullConsumer poller;

    Filters(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "filters";
    }

    @Override
    public String before() throws Exception {
        String topic = context.topic("filters");
        context.createTopic(topic);
        String refused = startWithBadExpression(topic);
        sqlConsumer = context.clients.pushConsumer(context.group("filters_sql"));
        sqlConsumer.subscribe(topic, MessageSelector.bySql(SQL));
        start(sqlConsumer, bySql);
        tagConsumer = context.clients.pushConsumer(context.group("filters_tag"));
        tagConsumer.subscribe(topic, "Aa");
        start(tagConsumer, byTag);
        poller = new DefaultLitePullConsumer(context.group("filters_lite"));
        context.clients.configure(poller, "lite");
        poller.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        poller.subscribe(topic, MessageSelector.bySql(SQL));
        poller.start();
        return sendAndAwait("before") + "; " + refused;
    }

    @Override
    public String through(Middle middle) throws Exception {
        int count = middle.repeat(n -> {
            if (n % COUNT == REFUSED) {
                bySql.failsOnce("swing-" + n);
            }
            send("swing-" + n, n % COUNT);
            polled.add(poller.poll(20));
        });
        String seen = sendAndAwait("after");
        for (int n = REFUSED; n < count; n += COUNT) {
            bySql.awaitRepeated("swing-" + n);
        }
        sqlConsumer.shutdown();
        tagConsumer.shutdown();
        poller.shutdown();
        return seen + "; " + count + " of all sent while the leader died";
    }

    private String sendAndAwait(String prefix) throws Exception {
        // What every consumer fails to handle the first time comes again by the retry topic, which is not filtered again.
        bySql.failsOnce(prefix + "-" + REFUSED);
        for (int n = 0; n < COUNT; n++) {
            send(prefix + "-" + n, n);
        }
        bySql.await("the consumer by SQL", wantedBySql);
        byTag.await("the consumer by a tag", wantedByTag);
        Clients.until("the poller got all", () -> {
            polled.add(poller.poll(200));
            return polled.keys.containsAll(wantedBySql);
        });
        bySql.awaitRepeated(prefix + "-" + REFUSED);
        bySql.expectNothingBut("the consumer by SQL", wantedBySql);
        byTag.expectNothingBut("the consumer by a tag", wantedByTag);
        polled.expectNothingBut("the poller", wantedBySql);
        return wantedBySql.size() + " by SQL, one of them again, and " + wantedByTag.size() + " by a tag";
    }

    private void send(String key, int n) throws Exception {
        String tag = TAGS[n % TAGS.length];
        String color = n % 4 == 0 ? "red" : n % 4 == 1 ? "blue" : "green";
        Message message = new Message(context.topic("filters"), tag, key, key.getBytes(StandardCharsets.UTF_8));
        message.putUserProperty("n", String.valueOf(n));
        message.putUserProperty("color", color);
        message.putUserProperty("price", n % 5 + ".5");
        if (n % 7 == 3) {
            message.putUserProperty("note", "yes");
        }
        // The price is n % 5 + 0.5.
        boolean isWanted = n >= 5 && n <= 40 && (n % 4 < 2 || n % 5 > 2) && n % 7 != 3 && !tag.equals("x");
        if (isWanted) {
            wantedBySql.add(key);
        }
        if (tag.equals("Aa")) {
            wantedByTag.add(key);
        }
        context.send(message, null);
    }

    private String startWithBadExpression(String topic) throws Exception {
        DefaultMQPushConsumer consumer = context.clients.pushConsumer(context.group("filters_bad"));
        consumer.subscribe(topic, MessageSelector.bySql("n >"));
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        try {
            consumer.start();
        } catch (MQClientException refused) {
            Clients.expectEqual(refused.getResponseCode(), SUBSCRIPTION_PARSE_FAILED, "code for a bad expression");
            return "a bad expression refused";
        } finally {
            consumer.shutdown();
        }
        throw new IllegalStateException("a bad expression was taken");
    }

    private static void start(DefaultMQPushConsumer consumer, Received received) throws Exception {
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> {
            return received.add(messages) ? ConsumeConcurrentlyStatus.CONSUME_SUCCESS : ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
    }

    /** Keys as they came. After a failover a message may come twice, but none that was not asked for. */
    private static final class Received {
        final Set<String> keys = ConcurrentHashMap.newKeySet();
        private final Set<String> repeated = ConcurrentHashMap.newKeySet();
        private final Set<String> toFail = ConcurrentHashMap.newKeySet();

        void failsOnce(String key) {
            toFail.add(key);
        }

        /** Returns whether they are handled. */
        boolean add(List<MessageExt> messages) {
            boolean handled = true;
            for (MessageExt message : messages) {
                if (toFail.remove(message.getKeys())) {
                    handled = false;
                } else if (message.getReconsumeTimes() > 0) {
                    repeated.add(message.getKeys());
                }
                keys.add(message.getKeys());
            }
            return handled;
        }

        void await(String who, Set<String> wanted) throws Exception {
            Clients.until(who + " got all", () -> keys.containsAll(wanted));
        }

        void awaitRepeated(String key) throws Exception {
            Clients.until(key + " comes again", () -> repeated.contains(key));
        }

        void expectNothingBut(String who, Set<String> wanted) {
            List<String> unwanted = new ArrayList<>(keys);
            unwanted.removeAll(wanted);
            Clients.expect(unwanted.isEmpty(), who + " got what it did not ask for: " + unwanted);
        }
    }
}
