package interop;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.AckStatus;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Pops in order: a queue gives out nothing more until what it gave out is acknowledged or visible again; what comes again comes in
 * its place and says how often it came. While the leader dies one queue is blocked and one goes on.
 */
final class PopInOrder implements Scenario {
    private static final long SHORT_MS = 1500;
    private static final long LONG_MS = 60_000;

    private final ScenarioContext context;
    private List<MessageQueue> queues;
    private MessageQueue queue;
    private MessageQueue left;
    private PopCalls calls;

    PopInOrder(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "pop in order";
    }

    @Override
    public String before() throws Exception {
        queues = context.createTopic(context.topic("poporder"));
        queue = queues.get(0);
        left = queues.get(1);
        calls = new PopCalls(context, queue, context.group("poporder"));
        return round("before");
    }

    @Override
    public String through(Middle middle) throws Exception {
        block();
        Swing swing = new Swing();
        int count = middle.repeat(n -> {
            context.send(context.message(swing.queue.getTopic(), "swing", n), swing.queue);
            swing.popAndAcknowledge();
        });
        List<MessageExt> again = await(left, 4, LONG_MS);
        Clients.expectEqual(keys(again), List.of("left-0", "left-2", "left-3"), "keys after the failover");
        Clients.expectEqual(counts(again), List.of(1, 1, 0), "reconsumeTimes after the failover");
        Clients.expectEqual(calls.ackAll(again).getStatus(), AckStatus.OK, "a batch in order");
        Clients.until("all that was sent while the leader died came", () -> {
            swing.popAndAcknowledge();
            return swing.isOver(count);
        });
        Clients.expect(swing.wrong.isEmpty(), "out of order: " + swing.wrong);
        String seen = round("after");
        calls.close();
        return "a blocked queue went on in its order; " + count + " in order while the leader died; " + seen;
    }

    /** A queue that is popped one by one while the leader dies. */
    private final class Swing {
        final MessageQueue queue = queues.get(2);
        final List<String> wrong = new ArrayList<>();
        private int acknowledged = -1;
        /** Acknowledged without an answer: what comes next is this one or the one behind it. */
        private int unknown = -1;

        /** After a call without an answer the same message comes again, before all later ones. */
        void popAndAcknowledge() {
            List<MessageExt> popped = List.of();
            try {
                popped = calls.popInOrder(queue.getQueueId(), 1, SHORT_MS);
            } catch (Exception unanswered) {
                unanswered.printStackTrace();
            }
            for (MessageExt message : popped) {
                acknowledge(message);
            }
        }

        boolean isOver(int count) {
            return Math.max(acknowledged, unknown) == count - 1;
        }

        private void acknowledge(MessageExt message) {
            int number = Integer.parseInt(message.getKeys().substring("swing-".length()));
            int last = Math.max(acknowledged, unknown);
            boolean isAgain = number == last && (last == unknown || context.isSentAgain(queue.getTopic(), message.getKeys()));
            if (number != last + 1 && !isAgain) {
                wrong.add(number + " behind " + last);
            }
            try {
                if (calls.ack(message).getStatus() == AckStatus.OK) {
                    acknowledged = number;
                }
            } catch (Exception unanswered) {
                unknown = number;
            }
        }
    }

    private void block() throws Exception {
        send(left, "left", 4);
        List<MessageExt> three = await(left, 3, LONG_MS);
        // The middle one is acknowledged; the first and the last hold up the queue.
        Clients.expectEqual(calls.ack(three.get(1)).getStatus(), AckStatus.OK, "acknowledgement out of turn");
        calls.changeInvisible(three.get(0), SHORT_MS);
        calls.changeInvisible(three.get(2), SHORT_MS);
    }

    private String round(String prefix) throws Exception {
        send(queue, prefix, 5);
        List<MessageExt> two = await(queue, 2, LONG_MS);
        Clients.expectEqual(keys(two), List.of(prefix + "-0", prefix + "-1"), "the first keys");
        Clients.expectEqual(calls.popInOrder(queue.getQueueId(), 2, LONG_MS).size(), 0, "messages of a blocked queue");
        Clients.expectEqual(calls.ack(two.get(0)).getStatus(), AckStatus.OK, "acknowledgement of the first");
        Clients.expectEqual(calls.popInOrder(queue.getQueueId(), 2, LONG_MS).size(), 0, "messages of a queue blocked by one");
        calls.changeInvisible(two.get(1), SHORT_MS);
        List<MessageExt> again = await(queue, 3, LONG_MS);
        Clients.expectEqual(keys(again), List.of(prefix + "-1", prefix + "-2", prefix + "-3"), "the next keys");
        Clients.expectEqual(counts(again), List.of(1, 0, 0), "reconsumeTimes");
        Clients.expectEqual(calls.ackAll(again).getStatus(), AckStatus.OK, "a batch in order");
        List<MessageExt> last = await(queue, 3, LONG_MS);
        Clients.expectEqual(keys(last), List.of(prefix + "-4"), "the last key");
        Clients.expectEqual(calls.ack(last.get(0)).getStatus(), AckStatus.OK, "acknowledgement of the last");
        return "five in order, one of them twice";
    }

    private void send(MessageQueue to, String prefix, int count) throws Exception {
        for (int n = 0; n < count; n++) {
            context.send(context.message(to.getTopic(), prefix, n), to);
        }
    }

    private List<MessageExt> await(MessageQueue from, int count, long invisibleMs) throws Exception {
        AtomicReference<List<MessageExt>> found = new AtomicReference<>();
        Clients.until("queue " + from.getQueueId() + " gives out messages in order", () -> {
            found.set(calls.popInOrder(from.getQueueId(), count, invisibleMs));
            return !found.get().isEmpty();
        });
        return found.get();
    }

    private static List<String> keys(List<MessageExt> messages) {
        return messages.stream().map(MessageExt::getKeys).toList();
    }

    private static List<Integer> counts(List<MessageExt> messages) {
        return messages.stream().map(MessageExt::getReconsumeTimes).toList();
    }
}
