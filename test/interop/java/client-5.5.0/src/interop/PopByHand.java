package interop;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import org.apache.rocketmq.client.consumer.AckStatus;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Pops, acknowledgements alone and in a batch, another time of invisibility, a notice. Then a client that dies: it has popped
 * messages and acknowledged some of them when the leader dies, too. None of those comes again, each of the others does.
 */
final class PopByHand implements Scenario {
    private static final int PER_QUEUE = 5;
    private static final long SHORT_MS = 1500;
    private static final long LONG_MS = 60_000;
    private static final long POLL_MS = 5000;

    private final ScenarioContext context;
    private final Set<String> acknowledged = new TreeSet<>();
    private final Set<String> pending = new TreeSet<>();
    private List<MessageQueue> queues;
    private PopCalls calls;

    PopByHand(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "pop by hand";
    }

    @Override
    public String before() throws Exception {
        queues = context.createTopic(context.topic("pophand"));
        calls = new PopCalls(context, queues.get(0), context.group("pophand"));
        return round("before");
    }

    @Override
    public String through(Middle middle) throws Exception {
        leave();
        List<MessageQueue> others = context.createTopic(context.topic("popswing"));
        PopCalls otherCalls = new PopCalls(context, others.get(0), context.group("popswing"));
        Swing swing = new Swing(otherCalls, context.topic("popswing"));
        int count = middle.repeat(n -> {
            context.send(context.message(context.topic("popswing"), "swing", n), others.get(n % others.size()));
            swing.popAndAcknowledge(0);
        });
        String kept = expectPending();
        Clients.until("all that was sent while the leader died is acknowledged", () -> {
            swing.popAndAcknowledge(1000);
            return swing.isOver(keys("swing", count));
        });
        Clients.expect(swing.wrong.isEmpty(), "acknowledged while the leader died and came again: " + Clients.some(swing.wrong));
        otherCalls.close();
        String seen = round("after");
        calls.close();
        return kept + "; " + count + " sent while the leader died; " + seen;
    }

    /** Messages that are popped and acknowledged while the leader dies. What a call without an answer popped comes again. */
    private final class Swing {
        final Set<String> wrong = new TreeSet<>();
        private final Set<String> done = new TreeSet<>();
        /** Acknowledged without an answer: they may come again. */
        private final Set<String> unknown = new TreeSet<>();
        private final PopCalls from;
        private final String topic;

        Swing(PopCalls from, String topic) {
            this.from = from;
            this.topic = topic;
        }

        void popAndAcknowledge(long pollMs) {
            List<MessageExt> popped = List.of();
            try {
                popped = from.pop(PopCalls.ALL_QUEUES, 32, SHORT_MS * 4, pollMs);
            } catch (Exception unanswered) {
                unanswered.printStackTrace();
            }
            for (MessageExt message : popped) {
                acknowledge(message);
            }
        }

        boolean isOver(Set<String> keys) {
            return keys.stream().allMatch(key -> done.contains(key) || unknown.contains(key));
        }

        private void acknowledge(MessageExt message) {
            String key = message.getKeys();
            if (done.contains(key) && !context.isSentAgain(topic, key)) {
                wrong.add(key);
            }
            try {
                if (from.ack(message).getStatus() == AckStatus.OK) {
                    done.add(key);
                }
            } catch (Exception unanswered) {
                unknown.add(key);
            }
        }
    }

    private void leave() throws Exception {
        int count = PER_QUEUE * queues.size();
        context.sendToEach(queues, "left", PER_QUEUE);
        List<MessageExt> all = take(count, SHORT_MS * 4);
        for (MessageExt message : all) {
            if (acknowledged.size() < count / 2) {
                Clients.expectEqual(calls.ack(message).getStatus(), AckStatus.OK, "acknowledgement of " + message.getKeys());
                acknowledged.add(message.getKeys());
            } else {
                pending.add(message.getKeys());
            }
        }
    }

    private String expectPending() throws Exception {
        Map<String, Integer> again = new HashMap<>();
        Clients.until("what was not acknowledged comes again", () -> {
            for (MessageExt message : calls.pop(PopCalls.ALL_QUEUES, 32, SHORT_MS * 4, 1000)) {
                again.merge(message.getKeys(), 1, Integer::sum);
                Clients.expect(message.getReconsumeTimes() >= 1, message.getKeys() + " comes again without a count");
                calls.ack(message);
            }
            return again.keySet().containsAll(pending);
        });
        Set<String> wrong = new TreeSet<>(again.keySet());
        wrong.retainAll(acknowledged);
        Clients.expect(wrong.isEmpty(), "acknowledged and came again: " + Clients.some(wrong));
        return pending.size() + " not acknowledged came again, none of " + acknowledged.size() + " others did";
    }

    private String round(String prefix) throws Exception {
        int count = PER_QUEUE * queues.size();
        CompletableFuture<Boolean> notice = CompletableFuture.supplyAsync(() -> {
            try {
                return calls.hasMessages(POLL_MS);
            } catch (Exception failure) {
                throw new IllegalStateException(failure);
            }
        });
        context.sendToEach(queues, prefix, PER_QUEUE);
        Clients.expect(notice.get(), "no notice of messages");
        List<MessageExt> all = take(count, LONG_MS);
        Clients.expectEqual(keysOf(all), keys(prefix, count), "keys of what was popped");
        Clients.expectEqual(all.stream().mapToInt(MessageExt::getReconsumeTimes).sum(), 0, "reconsumeTimes of all");
        // One queue is acknowledged one by one, one by a batch; of the others each is given back.
        List<MessageExt> first = ofQueue(all, 0);
        for (MessageExt message : first) {
            Clients.expectEqual(calls.ack(message).getStatus(), AckStatus.OK, "acknowledgement of " + message.getKeys());
            Clients.expectEqual(calls.ack(message).getStatus(), AckStatus.OK, "acknowledged twice: " + message.getKeys());
        }
        Clients.expectEqual(calls.ackAll(ofQueue(all, 1)).getStatus(), AckStatus.OK, "a batch");
        List<MessageExt> rest = new ArrayList<>(ofQueue(all, 2));
        rest.addAll(ofQueue(all, 3));
        for (MessageExt message : rest) {
            Clients.expectEqual(calls.changeInvisible(message, SHORT_MS).getStatus(), AckStatus.OK, "another time");
        }
        List<MessageExt> again = take(rest.size(), LONG_MS);
        Clients.expectEqual(keysOf(again), keysOf(rest), "keys of what came again");
        Clients.expectEqual(again.stream().mapToInt(MessageExt::getReconsumeTimes).sum(), again.size(), "reconsumeTimes");
        Clients.expectEqual(calls.ackAll(again).getStatus(), AckStatus.OK, "a batch of what came again");
        Clients.expectEqual(calls.pop(PopCalls.ALL_QUEUES, 32, LONG_MS, 0).size(), 0, "messages left");
        return count + " popped, " + again.size() + " given back and popped again";
    }

    /** Pops until there are so many. */
    private List<MessageExt> take(int count, long invisibleMs) throws Exception {
        List<MessageExt> all = new ArrayList<>();
        Clients.until(count + " messages are popped", () -> {
            all.addAll(calls.pop(PopCalls.ALL_QUEUES, 32, invisibleMs, 1000));
            return all.size() >= count;
        });
        Clients.expectEqual(all.size(), count, "messages popped");
        return all;
    }

    private static List<MessageExt> ofQueue(List<MessageExt> all, int queueId) {
        return all.stream().filter(message -> message.getQueueId() == queueId).toList();
    }

    private static Set<String> keysOf(List<MessageExt> all) {
        Set<String> keys = new TreeSet<>();
        all.forEach(message -> keys.add(message.getKeys()));
        return keys;
    }

    private static Set<String> keys(String prefix, int count) {
        Set<String> keys = new TreeSet<>();
        for (int n = 0; n < count; n++) {
            keys.add(prefix + "-" + n);
        }
        return keys;
    }
}
