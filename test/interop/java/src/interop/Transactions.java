package interop;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Messages of transactions: committed, rolled back, or unknown until the broker asks, and then either. What is committed is in the
 * log once, nothing else is ever seen. Transactions go on while the leader dies, and some are open when it does.
 */
final class Transactions implements Scenario {
    /** What becomes of message n of a series, in turn. */
    private static final String[] OUTCOMES = {"commit", "rollback", "check-commit", "check-rollback", "ask-twice"};
    private static final int COUNT = 20;

    private final ScenarioContext context;
    /** Keys whose local transaction ran. Of a half message whose send was not acknowledged it did not. */
    private final Set<String> executed = ConcurrentHashMap.newKeySet();
    private final Map<String, Integer> questions = new ConcurrentHashMap<>();
    /** Queue and offset of each message that was consumed, by key. */
    private final Map<String, Set<String>> places = new ConcurrentHashMap<>();
    private final Set<String> committed = ConcurrentHashMap.newKeySet();
    private TransactionMQProducer producer;
    private DefaultMQPushConsumer consumer;

    Transactions(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "transactions";
    }

    @Override
    public String before() throws Exception {
        context.createTopic(context.topic("tx"));
        consumer = context.clients.pushConsumer(context.group("tx"));
        consumer.subscribe(context.topic("tx"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> {
            for (MessageExt message : messages) {
                String place = message.getQueueId() + "-" + message.getQueueOffset();
                places.computeIfAbsent(message.getKeys(), key -> ConcurrentHashMap.newKeySet()).add(place);
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        producer = new TransactionMQProducer(context.group("tx") + "_producer");
        context.clients.configure(producer, "transactions");
        // A send that is repeated may leave two half messages, and both are committed.
        producer.setRetryTimesWhenSendFailed(0);
        producer.setTransactionListener(new Listener());
        producer.start();
        return sendAndAwait("before");
    }

    @Override
    public String through(Middle middle) throws Exception {
        for (int n = 0; n < COUNT; n++) {
            send("open-" + n, OUTCOMES[2 + n % 3]);
        }
        int[] failed = {0};
        int count = middle.repeat(n -> {
            try {
                send("flow-" + n, OUTCOMES[n % OUTCOMES.length]);
            } catch (Exception unknown) {
                // Its local transaction did not run.
                failed[0]++;
            }
        });
        String seen = sendAndAwait("after");
        producer.shutdown();
        consumer.shutdown();
        return seen + "; " + count + " sent while the leader died, " + failed[0] + " of them failed";
    }

    private void send(String key, String outcome) throws Exception {
        Message message = context.message(context.topic("tx"), "tx", 0);
        message.setKeys(key);
        message.putUserProperty("outcome", outcome);
        var result = producer.sendMessageInTransaction(message, key);
        Clients.expectEqual(result.getSendStatus(), SendStatus.SEND_OK, "status of the half message " + key);
        Clients.expect(executed.contains(key), "the local transaction of " + key + " ran");
        if (!outcome.endsWith("rollback")) {
            committed.add(key);
        }
    }

    private String sendAndAwait(String prefix) throws Exception {
        Set<String> asked = new TreeSet<>();
        for (int i = 0; i < COUNT; i++) {
            int n = i;
            String name = prefix + "-" + n;
            String outcome = OUTCOMES[n % OUTCOMES.length];
            int[] attempts = {0};
            Clients.until(name + " is sent", () -> {
                // Each attempt is a transaction of its own: a half message of one that failed may be there.
                String key = name + "." + attempts[0]++;
                send(key, outcome);
                if (n % OUTCOMES.length >= 2) {
                    asked.add(key);
                }
                return true;
            });
        }
        try {
            Clients.until("all that were committed are consumed", () -> missing().isEmpty());
        } catch (IllegalStateException late) {
            throw new IllegalStateException(late.getMessage() + "; missing " + Clients.some(missing()));
        }
        // Those that roll back when they are asked for have been asked, too.
        Clients.until("all open ones are asked for", () -> questions.keySet().containsAll(asked));
        Set<String> uncommitted = new TreeSet<>(places.keySet());
        uncommitted.removeAll(committed);
        Clients.expect(uncommitted.isEmpty(), "consumed and not committed: " + Clients.some(uncommitted));
        Set<String> doubled = new TreeSet<>();
        places.forEach((key, set) -> {
            if (set.size() > 1) {
                doubled.add(key + " at " + set);
            }
        });
        Clients.expect(doubled.isEmpty(), "more than once in the log: " + Clients.some(doubled));
        return committed.size() + " committed and consumed, " + questions.size() + " asked for";
    }

    private Set<String> missing() {
        Set<String> missing = new TreeSet<>(committed);
        missing.removeAll(places.keySet());
        return missing;
    }

    private final class Listener implements TransactionListener {
        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object key) {
            executed.add((String) key);
            return switch (message.getUserProperty("outcome")) {
                case "commit" -> LocalTransactionState.COMMIT_MESSAGE;
                case "rollback" -> LocalTransactionState.ROLLBACK_MESSAGE;
                default -> LocalTransactionState.UNKNOW;
            };
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            int times = questions.merge(message.getKeys(), 1, Integer::sum);
            if (!executed.contains(message.getKeys())) {
                return LocalTransactionState.ROLLBACK_MESSAGE;
            }
            String outcome = message.getUserProperty("outcome");
            if (outcome.equals("ask-twice") && times == 1) {
                return LocalTransactionState.UNKNOW;
            }
            return outcome.endsWith("rollback") ? LocalTransactionState.ROLLBACK_MESSAGE : LocalTransactionState.COMMIT_MESSAGE;
        }
    }
}
