package interop;

import static interop.Events.check;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.impl.consumer.PullAPIWrapper;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * A producer and consumers of a master and its slave, which stay while the master dies, comes back, or a slave is made the master. What was
 * stored each of them gets once; nothing is sent twice, for a send that fails is made again as another message.
 *
 *   begin                     master and slave run: every way of sending, tags, keys           → check…, done
 *   slave                     all is read from the slave                                       → check…, done
 *   backlog                   the consumers rest, and messages are sent                        → done
 *   without                   the master is dead: the consumers go on, from the slave          → check…, done
 *   again WHEN                there is a master: sends go on, all comes, offsets are kept      → check…, done
 *   status STATUS WHEN        until sends are answered so                                      → check…, done
 *   exit                      shuts everything down                                            → check…, done, exit status 0
 *
 * Arguments: NAMESRV TOPIC GROUP.
 */
@SuppressWarnings("deprecation")
public final class Classic {
    private static final int QUEUES = 4;
    private static final int COUNT = 30;
    /** More than the pulls that wait at the master can bring to consumers that rest. */
    private static final int BACKLOG = 600;
    private static final int ROUTE_EVERY_MS = 200;
    private static final long SLAVE_ID = 1;
    private static final long PULL_TIMEOUT_MS = 5_000;
    /** Of the client: no queue to send to. */
    private static final int NO_ROUTE = 10005;

    private final Clients clients;
    private final String topic;
    private final String group;
    private final DefaultMQProducer producer;
    private final TransactionMQProducer transactions;
    private final DefaultMQPullConsumer pulling;
    private final DefaultMQAdminExt admin = new DefaultMQAdminExt();
    /** What the broker said that it has, by key: the tag. */
    private final Map<String, String> stored = new ConcurrentHashMap<>();
    /** What it may have: nobody said so. */
    private final Set<String> unknown = ConcurrentHashMap.newKeySet();
    private final Set<String> executed = ConcurrentHashMap.newKeySet();
    private List<MessageQueue> queues;
    private Receiver standing;
    private Receiver tagged;
    /** Of a group that was there before, and comes while there is no master. */
    private Receiver later;
    private int sent;

    private Classic(String namesrv, String topic, String group) throws Exception {
        this.clients = new Clients(namesrv);
        this.topic = topic;
        this.group = group;
        producer = new DefaultMQProducer(group + "_producer");
        prepare(producer);
        transactions = new TransactionMQProducer(group + "_transactions");
        prepare(transactions);
        transactions.setTransactionListener(new Listener());
        pulling = new DefaultMQPullConsumer(group + "_pulling");
        clients.configure(pulling, "pull");
        pulling.setPollNameServerInterval(ROUTE_EVERY_MS);
        producer.start();
        transactions.start();
        pulling.start();
        clients.configure(admin, "admin");
        admin.start();
    }

    public static void main(String[] arguments) throws Exception {
        Classic classic = new Classic(arguments[0], arguments[1], arguments[2]);
        CommandLoop.run(words -> {
            switch (words[0]) {
                case "begin" -> classic.begin();
                case "slave" -> classic.readSlave();
                case "backlog" -> classic.backlog();
                case "without" -> classic.without();
                case "again" -> classic.again(rest(words, 1));
                case "status" -> classic.status(SendStatus.valueOf(words[1]), rest(words, 2));
                case "exit" -> classic.exit();
                default -> throw CommandLoop.noSuchCommand(words);
            }
        });
    }

    /** The last argument has spaces. */
    private static String rest(String[] words, int from) {
        return String.join(" ", List.of(words).subList(from, words.length));
    }

    private void begin() throws Exception {
        queues = new ArrayList<>(clients.createTopic(producer, topic, QUEUES));
        queues.sort(Comparator.comparingInt(MessageQueue::getQueueId));
        standing = new Receiver("standing", "*");
        tagged = new Receiver("tagged", "TagA || TagB");
        Receiver earlier = new Receiver("later", "*");
        for (int n = 0; n < COUNT; n++) {
            expectStatus(sendSync(), SendStatus.SEND_OK);
            expectStatus(sendAsync(), SendStatus.SEND_OK);
            Message message = next();
            producer.sendOneway(message);
            stored.put(message.getKeys(), message.getTags());
        }
        for (Receiver receiver : List.of(standing, tagged, earlier)) {
            receiver.await();
            receiver.expectOnce();
        }
        check("sends in each way reach consumers by tag", stored.size() + " sent, one of three ways each");
        queryAll("keys are found");
        // It says where it is as it goes.
        earlier.consumer.shutdown();
        awaitOffsets(earlier);
        later = earlier;
    }

    private void readSlave() throws Exception {
        PullAPIWrapper pulls = pulling.getDefaultMQPullConsumerImpl().getPullAPIWrapper();
        pulls.setConnectBrokerByUser(true);
        pulls.setDefaultBrokerId(SLAVE_ID);
        check("a pull consumer that asks the slave gets all of it", pullAll() + " messages");
        pulls.setConnectBrokerByUser(false);
    }

    private void backlog() throws Exception {
        for (Receiver receiver : List.of(standing, tagged)) {
            receiver.consumer.suspend();
        }
        for (int n = 0; n < BACKLOG; n++) {
            expectStatus(sendSync(), SendStatus.SEND_OK);
        }
        Clients.expect(!standing.hasAll() && !tagged.hasAll(), "the consumers have a backlog");
    }

    private void without() throws Exception {
        String first = failureOf(this::sendSync);
        Clients.until("sends fail for want of a route", () -> {
            try {
                sendSync();
            } catch (MQClientException none) {
                return none.getResponseCode() == NO_ROUTE;
            }
            throw new IllegalStateException("a send is taken");
        });
        check("sends fail", first + "; then " + failureOf(this::sendSync) + "; asynchronously " + failureOf(this::sendAsync));
        int before = standing.deliveries.size();
        for (Receiver receiver : List.of(standing, tagged)) {
            receiver.consumer.resume();
            receiver.await();
        }
        check("push consumers read the rest from the slave", before + " of " + stored.size() + " were consumed before");
        check("so does a pull consumer", pullAll() + " messages");
        queryAll("keys are found at the slave");
        Set<String> known = new HashSet<>(later.deliveries.keySet());
        later = new Receiver("later", "*");
        later.known.addAll(known);
        later.await();
        later.expectOnce();
        check("a consumer that starts now goes on where its group was", known.size() + " were consumed before, none of them again");
    }

    private void again(String when) throws Exception {
        long since = System.nanoTime();
        // The first ones fail until the route has the master.
        Clients.until("sends go on " + when, () -> sendSync() != null);
        long tookMs = (System.nanoTime() - since) / 1_000_000;
        for (int n = 0; n < COUNT; n++) {
            sendSync();
            sendAsync();
        }
        for (Receiver receiver : List.of(standing, tagged, later)) {
            receiver.consumer.resume();
            receiver.await();
        }
        check("sends go on " + when, "after " + tookMs + " ms; " + stored.size() + " stored, all consumed");
        // Behind messages that it does not ask for a consumer is only when its pull ends.
        long total = awaitOffsets(standing);
        Clients.expectEqual(awaitOffsets(later), total, "what the other group consumed");
        check("the master has the consumers' offsets " + when, total + " of both groups");
    }

    /** Whatever they are answered meanwhile, they are stored. */
    private void status(SendStatus wanted, String when) throws Exception {
        int[] others = {0};
        Clients.until("sends are answered with " + wanted, () -> {
            boolean isSo = sendSync().getSendStatus() == wanted;
            others[0] += isSo ? 0 : 1;
            return isSo;
        });
        expectStatus(sendSync(), wanted);
        expectStatus(sendAsync(), wanted);
        String key = "transaction-" + sent++;
        Message message = new Message(topic, "TagA", key, key.getBytes(StandardCharsets.UTF_8));
        var result = transactions.sendMessageInTransaction(message, key);
        expectStatus(result, wanted);
        // The client runs nothing where it is not sure that the half message stays.
        boolean isSure = wanted == SendStatus.SEND_OK;
        Clients.expectEqual(executed.contains(key), isSure, "the local transaction ran");
        Clients.expectEqual(
            result.getLocalTransactionState(),
            isSure ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE,
            "what becomes of it");
        if (isSure) {
            stored.put(key, message.getTags());
        }
        check(when + ": " + wanted, "after " + others[0] + " others; a transaction ends with " + result.getLocalTransactionState());
    }

    private void exit() throws Exception {
        for (Receiver receiver : List.of(standing, tagged, later)) {
            receiver.await();
            receiver.consumer.shutdown();
            receiver.expectOnce();
        }
        check("each message came once to each group", stored.size() + " stored, " + unknown.size() + " sends had no answer");
        producer.shutdown();
        transactions.shutdown();
        pulling.shutdown();
        admin.shutdown();
    }

    // ------------------------------------------------------------------------------------------------ sending

    private Message next() {
        int number = sent++;
        String key = "key-" + number;
        return new Message(topic, ScenarioContext.TAGS[number % 3], key, ("body of " + key).getBytes(StandardCharsets.UTF_8));
    }

    private SendResult sendSync() throws Exception {
        Message message = next();
        unknown.add(message.getKeys());
        return noted(message, producer.send(message));
    }

    private SendResult sendAsync() throws Exception {
        Message message = next();
        unknown.add(message.getKeys());
        CompletableFuture<SendResult> answer = new CompletableFuture<>();
        producer.send(message, new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
                answer.complete(result);
            }

            @Override
            public void onException(Throwable failure) {
                answer.completeExceptionally(failure);
            }
        });
        return noted(message, answer.get(Clients.WAIT_MS, TimeUnit.MILLISECONDS));
    }

    private SendResult noted(Message message, SendResult result) {
        unknown.remove(message.getKeys());
        stored.put(message.getKeys(), message.getTags());
        return result;
    }

    private void prepare(DefaultMQProducer made) {
        clients.configure(made, "producer");
        made.setPollNameServerInterval(ROUTE_EVERY_MS);
        made.setSendMsgTimeout(3_000);
        made.setRetryTimesWhenSendFailed(0);
        made.setRetryTimesWhenSendAsyncFailed(0);
    }

    private interface Send {
        SendResult make() throws Exception;
    }

    private static String failureOf(Send send) {
        try {
            throw new IllegalStateException("a send is taken: " + send.make());
        } catch (IllegalStateException taken) {
            throw taken;
        } catch (Exception failure) {
            String text = Events.describe(failure);
            return text.length() > 160 ? text.substring(0, 160) + "…" : text;
        }
    }

    private static void expectStatus(SendResult result, SendStatus wanted) {
        Clients.expectEqual(result.getSendStatus(), wanted, "the status of a send");
    }

    // ------------------------------------------------------------------------------------------------ reading

    /** All that is stored, each message at one place, from the broker that the client finds. */
    private int pullAll() throws Exception {
        Clients.until("pulls bring all that is stored", () -> {
            Set<String> keys = new HashSet<>();
            for (MessageQueue queue : queues) {
                PullResult result = pulling.pull(queue, "*", 0, 32, PULL_TIMEOUT_MS);
                for (; result.getPullStatus() == PullStatus.FOUND;
                    result = pulling.pull(queue, "*", result.getNextBeginOffset(), 32, PULL_TIMEOUT_MS)) {
                    for (MessageExt message : result.getMsgFoundList()) {
                        Clients.expect(keys.add(message.getKeys()), message.getKeys() + " is stored twice");
                    }
                }
                Clients.expectEqual(result.getPullStatus(), PullStatus.NO_NEW_MSG, "the end of " + queue);
            }
            return keys.containsAll(stored.keySet());
        });
        return stored.size();
    }

    /** The first and the last by their keys. */
    private void queryAll(String name) throws Exception {
        List<String> keys = List.of("key-0", "key-" + (stored.size() - 1));
        for (String key : keys) {
            Clients.expect(stored.containsKey(key), key + " is stored");
            Clients.until(key + " is found", () -> {
                List<MessageExt> found = producer.queryMessage(topic, key, 8, 0, Long.MAX_VALUE).getMessageList();
                return found.size() == 1 && found.get(0).getKeys().equals(key);
            });
        }
        check(name, String.join(", ", keys));
    }

    /** Until the master has that all was consumed; asked of the consumer itself, it would go back to what the broker says. Returns how much. */
    private long awaitOffsets(Receiver receiver) throws Exception {
        long[] total = {0};
        Clients.until("the offsets of " + receiver.name + " are kept", () -> {
            var offsets = admin.examineConsumeStats(group + "_" + receiver.name).getOffsetTable();
            total[0] = 0;
            for (MessageQueue queue : queues) {
                var offset = offsets.get(queue);
                if (offset.getConsumerOffset() != offset.getBrokerOffset()) {
                    return false;
                }
                total[0] += offset.getConsumerOffset();
            }
            return true;
        });
        Clients.expect(total[0] >= stored.size(), receiver.name + " consumed " + total[0] + " of " + stored.size());
        return total[0];
    }

    /** A push consumer with a group of its own, and how often each key came. */
    private final class Receiver {
        final String name;
        final DefaultMQPushConsumer consumer;
        final Map<String, Integer> deliveries = new ConcurrentHashMap<>();
        /** What an earlier consumer of the group had. */
        final Set<String> known = new HashSet<>();
        private final String tags;

        Receiver(String name, String tags) throws Exception {
            this.name = name;
            this.tags = tags;
            consumer = clients.pushConsumer(group + "_" + name);
            consumer.setPollNameServerInterval(ROUTE_EVERY_MS);
            // A shutdown waits for the listeners that run, so the offsets it leaves are those of all that was consumed.
            consumer.setAwaitTerminationMillisWhenShutdown(2000);
            consumer.subscribe(topic, tags);
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                messages.forEach(message -> deliveries.merge(message.getKeys(), 1, Integer::sum));
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
        }

        void await() throws Exception {
            try {
                Clients.until(name + " got all messages", this::hasAll);
            } catch (IllegalStateException late) {
                throw new IllegalStateException(late.getMessage() + "; missing " + Clients.some(missing()));
            }
        }

        boolean hasAll() {
            return missing().isEmpty();
        }

        void expectOnce() {
            deliveries.forEach((key, count) -> {
                Clients.expect(count == 1, name + " got " + key + " " + count + " times");
                Clients.expect(!known.contains(key), name + " got " + key + " again");
                Clients.expect(unknown.contains(key) || wants(stored.get(key)), name + " got " + key);
            });
        }

        private Set<String> missing() {
            Set<String> missing = new HashSet<>();
            stored.forEach((key, tag) -> {
                if (wants(tag) && !deliveries.containsKey(key) && !known.contains(key)) {
                    missing.add(key);
                }
            });
            return missing;
        }

        private boolean wants(String tag) {
            return tag != null && (tags.equals("*") || tags.contains(tag));
        }
    }

    private final class Listener implements TransactionListener {
        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object key) {
            executed.add((String) key);
            return LocalTransactionState.COMMIT_MESSAGE;
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            return executed.contains(message.getKeys()) ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
        }
    }
}
