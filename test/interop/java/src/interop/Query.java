package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.TreeSet;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Messages are found by each of their keys: all of a range of times, none outside it, the newest where more are there than
 * were asked for. By its unique id or its offset id one is found, the right one. What is sent and asked for while the leader dies is found; the new leader says the same as the old.
 */
final class Query implements Scenario {
    private static final int PER_SERIES = 10;
    private static final int BATCH = 50;
    private static final int BUYERS = 3;
    /** A broker gives at most this many to one query by key. */
    private static final int BROKER_MAX = 64;
    /** Apache's index has whole seconds, rounded down: ranges begin this much earlier, and series are further apart. */
    private static final long PRECISION_MS = 1000;
    private static final long GAP_MS = 1200;
    /** Clocks have ticks: the second of a delay level may look this much shorter. */
    private static final long SLACK_MS = 100;
    private static final int ONE_SECOND = 1;
    private static final int ADDRESS_DIGITS = 16;
    private static final int NO_MESSAGE = 208;
    private static final String EVERY = "every";
    private static final String DELAYED = "delayed";
    private static final String TWICE = "twice";
    private static final String SWING = "swing";
    private static final String NOBODYS = "nobodys";

    /** What is to be found. */
    private record Stored(String uniqueId, String place, int queueId, long queueOffset, List<String> keys, long atMs) {}

    /** Messages that were stored apart from all others; they are `from` to `to`, exclusive, of all. */
    private record Series(int from, int to, long firstMs, long lastMs) {}

    private final ScenarioContext context;
    private final List<Stored> all = new ArrayList<>();
    private final List<Series> series = new ArrayList<>();
    private List<MessageQueue> queues;
    private String topic;
    private String leader;
    private int questions;

    Query(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "query by key and unique id";
    }

    @Override
    public String before() throws Exception {
        topic = context.topic("query");
        queues = context.createTopic(topic);
        context.createTopic(context.topic("query_other"));
        long delayedAtMs = System.currentTimeMillis();
        String delayedId = context.send(delayed(), null).getMsgId();
        sendSeries();
        Thread.sleep(GAP_MS);
        sendSeries();
        Thread.sleep(GAP_MS);
        sendBatch();
        sendDecoy();
        sendTwice();
        checkDelayed(delayedId, delayedAtMs);
        return checkAll();
    }

    @Override
    public String through(Middle middle) throws Exception {
        List<SendResult> acknowledged = new ArrayList<>();
        DefaultMQProducer asking = context.clients.producer(context.group("query"));
        // The client does not see that a query is lost: it waits four times this long.
        asking.getDefaultMQProducerImpl().getMqClientFactory().getMQAdminImpl().setTimeoutMillis(1000);
        middle.repeat(n -> {
            SendResult result = context.send(message(swingKeys(n)), queues.get(n % queues.size()));
            acknowledged.add(result);
            Clients.until(swingKeys(n) + " is found", () ->
                query(asking, topic, swingKeys(n).get(0), BROKER_MAX, 0, Long.MAX_VALUE).size() >= 1
                    && view(asking, result.getMsgId()).getKeys().equals(String.join(" ", swingKeys(n))));
        });
        asking.shutdown();
        sendSeries();
        Clients.expect(!leader.equals(acknowledged.get(0).getOffsetMsgId().substring(0, ADDRESS_DIGITS)), "the leader changed");
        // Keys are asked for where the route says that the leader is.
        Clients.until("the client's route of " + topic + " names the new leader", () -> routed().equals(leader));
        for (int n = 0; n < acknowledged.size(); n++) {
            checkSwing(n, acknowledged.get(n));
        }
        int most = Math.min(BROKER_MAX, acknowledged.size());
        Clients.expect(query(topic, SWING, BROKER_MAX, 0, Long.MAX_VALUE).size() >= most, most + " are found by the key of all");
        return checkAll() + "; " + acknowledged.size() + " more sent while the leader died";
    }

    private static List<String> swingKeys(int n) {
        return List.of(SWING + "-" + n, SWING);
    }

    /** Where it was acknowledged, there it is; by its keys it may be found twice when it was sent twice. */
    private void checkSwing(int n, SendResult result) throws Exception {
        String key = swingKeys(n).get(0);
        MessageExt found = view(leader + result.getOffsetMsgId().substring(ADDRESS_DIGITS));
        Clients.expectEqual(((MessageClientExt) found).getMsgId(), result.getMsgId(), "unique id of " + key);
        Clients.expectEqual(found.getQueueOffset(), result.getQueueOffset(), "queue offset of " + key);
        Clients.expectEqual(view(result.getMsgId()).getKeys(), String.join(" ", swingKeys(n)), "keys by the unique id of " + key);
        int count = query(topic, key, BROKER_MAX, found.getStoreTimestamp() - PRECISION_MS, found.getStoreTimestamp()).size();
        Clients.expect(count == 1 || count > 1 && context.isSentAgain(topic, String.join(" ", swingKeys(n))), count + " messages for " + key);
    }

    private Message message(List<String> keys) {
        Message message = new Message(topic, "", "", body(keys));
        message.setKeys(keys);
        return message;
    }

    private static byte[] body(Collection<String> keys) {
        return ("body of " + keys).getBytes(StandardCharsets.UTF_8);
    }

    private static List<String> keysOf(int n) {
        return List.of("order-" + n, "k\u00e4ufer-" + n % BUYERS, EVERY);
    }

    private Message delayed() {
        Message message = message(List.of(DELAYED));
        message.setDelayTimeLevel(ONE_SECOND);
        return message;
    }

    /** One after the other, to all queues in turn. */
    private void sendSeries() throws Exception {
        int from = all.size();
        List<SendResult> results = new ArrayList<>();
        for (int n = from; n < from + PER_SERIES; n++) {
            results.add(context.send(message(keysOf(n)), queues.get(n % queues.size())));
        }
        List<Stored> stored = new ArrayList<>();
        for (SendResult result : results) {
            String id = result.getOffsetMsgId();
            stored.add(stored(result.getMsgId(), id, result.getMessageQueue(), result.getQueueOffset(), from + stored.size()));
        }
        remember(stored);
    }

    /** All at once: stored in the same millisecond, and more than a broker gives to one query. */
    private void sendBatch() throws Exception {
        int from = all.size();
        List<Message> batch = new ArrayList<>();
        for (int n = from; n < from + BATCH; n++) {
            batch.add(message(keysOf(n)));
        }
        SendResult result = context.producer.send(batch, queues.get(0));
        String[] uniqueIds = result.getMsgId().split(",");
        String[] offsetIds = result.getOffsetMsgId().split(",");
        Clients.expectEqual(uniqueIds.length, BATCH, "unique ids of a batch");
        Clients.expectEqual(offsetIds.length, BATCH, "offset ids of a batch");
        List<Stored> stored = new ArrayList<>();
        for (int i = 0; i < BATCH; i++) {
            stored.add(stored(uniqueIds[i], offsetIds[i], queues.get(0), result.getQueueOffset() + i, from + i));
        }
        remember(stored);
    }

    /** Looks at it by its offset id, for its time: only the log has to have it yet. */
    private Stored stored(String uniqueId, String offsetId, MessageQueue queue, long queueOffset, int n) throws Exception {
        leader = offsetId.substring(0, ADDRESS_DIGITS);
        long atMs = view(offsetId).getStoreTimestamp();
        return new Stored(uniqueId, offsetId.substring(ADDRESS_DIGITS), queue.getQueueId(), queueOffset, keysOf(n), atMs);
    }

    private void remember(List<Stored> stored) throws Exception {
        int from = all.size();
        all.addAll(stored);
        Stored last = all.get(all.size() - 1);
        series.add(new Series(from, all.size(), all.get(from).atMs, last.atMs));
        // Apache's broker indexes what it has acknowledged a moment later.
        Clients.until("the last message is indexed", () -> query(topic, last.keys.get(0), 1, 0, Long.MAX_VALUE).size() == 1);
    }

    /** A key that is another message's unique id: each is found as what it is. */
    private void sendDecoy() throws Exception {
        String uniqueId = all.get(0).uniqueId;
        String decoyId = context.send(message(List.of(uniqueId)), queues.get(0)).getMsgId();
        Clients.until("the decoy is found by its key", () -> query(topic, uniqueId, BROKER_MAX, 0, Long.MAX_VALUE).size() == 1);
        MessageExt decoy = query(topic, uniqueId, BROKER_MAX, 0, Long.MAX_VALUE).get(0);
        Clients.expectEqual(((MessageClientExt) decoy).getMsgId(), decoyId, "unique id of what has the key");
    }

    /** A repeated send has the same unique id, which stands for the first; a broker may take the second for what it is. */
    private void sendTwice() throws Exception {
        Message message = message(List.of(TWICE));
        SendResult first = context.send(message, queues.get(0));
        SendResult second = context.send(message, queues.get(0));
        Clients.expectEqual(second.getMsgId(), first.getMsgId(), "unique id of a repeated send");
        int count = second.getQueueOffset() == first.getQueueOffset() ? 1 : 2;
        Clients.until("both are found by key", () -> query(topic, TWICE, BROKER_MAX, 0, Long.MAX_VALUE).size() == count);
        long found = view(first.getMsgId()).getQueueOffset();
        Clients.expectEqual(found, first.getQueueOffset(), "queue offset of what was sent twice");
    }

    /** It is filed where it waited and where it was delivered; only the latter is found in its topic. */
    private void checkDelayed(String uniqueId, long sentAtMs) throws Exception {
        Clients.until("the delayed message is found", () -> !query(topic, DELAYED, BROKER_MAX, 0, Long.MAX_VALUE).isEmpty());
        List<MessageExt> found = query(topic, DELAYED, BROKER_MAX, 0, Long.MAX_VALUE);
        Clients.expectEqual(found.size(), 1, "messages with the delayed one's key");
        Clients.expectEqual(((MessageClientExt) found.get(0)).getMsgId(), uniqueId, "its unique id");
        long waitedMs = view(uniqueId).getStoreTimestamp() - sentAtMs;
        Clients.expect(waitedMs >= PRECISION_MS - SLACK_MS, "the one by unique id was stored after " + waitedMs + " ms already");
    }

    private String checkAll() throws Exception {
        questions = 0;
        long startedAt = System.nanoTime();
        for (Stored stored : all) {
            checkSame(view(stored.uniqueId), stored);
            checkSame(view(leader + stored.place), stored);
            expectFound(stored.keys.get(0), 0, Long.MAX_VALUE, 1);
        }
        for (int i = 0; i < series.size(); i++) {
            for (int j = i; j < series.size(); j++) {
                checkTimes(series.get(i).firstMs - PRECISION_MS, series.get(j).lastMs);
            }
        }
        long first = series.get(0).firstMs;
        long last = series.get(series.size() - 1).lastMs;
        checkTimes(0, Long.MAX_VALUE);
        for (int count : new int[] {1, 3, BROKER_MAX, 1000}) {
            expectFound(EVERY, 0, Long.MAX_VALUE, count);
        }
        // Before and behind all, and between two series.
        checkNothing(EVERY, topic, 0, first - PRECISION_MS);
        checkNothing(EVERY, topic, last + 1, Long.MAX_VALUE);
        checkNothing(EVERY, topic, series.get(1).firstMs - PRECISION_MS, series.get(1).firstMs - PRECISION_MS);
        checkNothing(NOBODYS, topic, 0, Long.MAX_VALUE);
        checkNothing(EVERY, context.topic("query_other"), 0, Long.MAX_VALUE);
        return all.size() + " messages, " + questions + " questions in " + (System.nanoTime() - startedAt) / 1_000_000 + " ms";
    }

    private void checkTimes(long beginMs, long endMs) throws Exception {
        expectFound(EVERY, beginMs, endMs, BROKER_MAX);
        for (int buyer = 0; buyer < BUYERS; buyer++) {
            expectFound(keysOf(buyer).get(1), beginMs, endMs, BROKER_MAX);
        }
        Stored some = all.get(all.size() / 2);
        boolean isInside = some.atMs >= beginMs && some.atMs <= endMs;
        Clients.expectEqual(query(topic, some.keys.get(0), 1, beginMs, endMs).size(), isInside ? 1 : 0, "found by a key of one");
    }

    private void expectFound(String key, long beginMs, long endMs, int count) throws Exception {
        List<Stored> wanted = new ArrayList<>();
        for (Stored stored : all) {
            if (stored.keys.contains(key) && stored.atMs >= beginMs && stored.atMs <= endMs) {
                wanted.add(stored);
            }
        }
        List<Stored> newest = wanted.subList(Math.max(0, wanted.size() - Math.min(count, BROKER_MAX)), wanted.size());
        List<MessageExt> found = query(topic, key, count, beginMs, endMs);
        String asked = count + " of " + key + " from " + beginMs + " to " + endMs;
        Clients.expectEqual(found.size(), newest.size(), "messages for " + asked);
        TreeSet<String> missing = new TreeSet<>();
        for (Stored stored : newest) {
            missing.add(stored.uniqueId);
        }
        for (MessageExt message : found) {
            missing.remove(((MessageClientExt) message).getMsgId());
        }
        Clients.expect(missing.isEmpty(), "not found by " + asked + ": " + Clients.some(missing));
    }

    private void checkNothing(String key, String inTopic, long beginMs, long endMs) throws Exception {
        Clients.expectEqual(query(inTopic, key, BROKER_MAX, beginMs, endMs).size(), 0,
            "messages for " + key + " in " + inTopic + " from " + beginMs + " to " + endMs);
    }

    private void checkSame(MessageExt found, Stored stored) {
        String key = stored.keys.get(0);
        Clients.expectEqual(found.getTopic(), topic, "topic of " + key);
        Clients.expectEqual(found.getKeys(), String.join(" ", stored.keys), "keys of " + key);
        MessageClientExt withIds = (MessageClientExt) found;
        Clients.expectEqual(withIds.getMsgId(), stored.uniqueId, "unique id of " + key);
        Clients.expectEqual(withIds.getOffsetMsgId().substring(ADDRESS_DIGITS), stored.place, "place of " + key);
        Clients.expectEqual(found.getQueueId(), stored.queueId, "queue of " + key);
        Clients.expectEqual(found.getQueueOffset(), stored.queueOffset, "queue offset of " + key);
        Clients.expectEqual(found.getStoreTimestamp(), stored.atMs, "store time of " + key);
        Clients.expectEqual(new String(found.getBody(), StandardCharsets.UTF_8),
            new String(body(stored.keys), StandardCharsets.UTF_8), "body of " + key);
    }

    private MessageExt view(String id) throws Exception {
        return view(context.producer, id);
    }

    private MessageExt view(DefaultMQProducer asking, String id) throws Exception {
        questions++;
        return Version.viewMessage(asking, topic, id);
    }

    private List<MessageExt> query(String inTopic, String key, int count, long beginMs, long endMs) throws Exception {
        return query(context.producer, inTopic, key, count, beginMs, endMs);
    }

    private List<MessageExt> query(
        DefaultMQProducer asking, String inTopic, String key, int count, long beginMs, long endMs) throws Exception {
        questions++;
        try {
            QueryResult result = asking.queryMessage(inTopic, key, count, beginMs, endMs);
            return result.getMessageList();
        } catch (MQClientException nothing) {
            if (nothing.getResponseCode() != NO_MESSAGE) {
                throw nothing;
            }
            return List.of();
        }
    }

    /** Where the client sends its queries by key, as in an offset id. */
    private String routed() {
        var route = context.producer.getDefaultMQProducerImpl().getMqClientFactory().getAnExistTopicRouteData(topic);
        String[] address = route.getBrokerDatas().get(0).selectBrokerAddr().split(":");
        StringBuilder digits = new StringBuilder();
        for (String part : address[0].split("\\.")) {
            digits.append(String.format("%02X", Integer.parseInt(part)));
        }
        return digits.append(String.format("%08X", Integer.parseInt(address[1]))).toString();
    }
}
