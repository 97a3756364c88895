package interop;

import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;

/** A lite pull consumer with tags polls and commits while the leader dies; a second one goes on where it committed. */
final class LitePull implements Scenario {
    private static final int PER_QUEUE = 15;

    private final ScenarioContext context;
    private final Inbox inbox = new Inbox();
    private final List<String> wanted = new ArrayList<>();
    private List<MessageQueue> queues;
    private DefaultLitePullConsumer consumer;

    LitePull(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "lite pull consumer";
    }

    @Override
    public String before() throws Exception {
        queues = context.createTopic(context.topic("lite"));
        consumer = start();
        return sendAndPoll("before", PER_QUEUE);
    }

    @Override
    public String through(Middle middle) throws Exception {
        int count = middle.repeat(n -> {
            context.send(context.message(context.topic("lite"), "swing", n), queues.get(n % queues.size()));
            inbox.add(consumer.poll(20));
            consumer.commitSync();
        });
        wanted.addAll(ScenarioContext.wantedKeys("swing", count));
        String first = sendAndPoll("after", PER_QUEUE);
        consumer.shutdown();
        consumer = start();
        String second = sendAndPoll("restarted", 3);
        consumer.shutdown();
        return first + "; " + count + " sent while the leader died; " + second;
    }

    private DefaultLitePullConsumer start() throws Exception {
        DefaultLitePullConsumer started = new DefaultLitePullConsumer(context.group("lite"));
        context.clients.configure(started, "lite");
        started.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        started.setAutoCommit(false);
        started.subscribe(context.topic("lite"), "TagA || TagB");
        started.start();
        return started;
    }

    private String sendAndPoll(String prefix, int perQueue) throws Exception {
        int count = perQueue * queues.size();
        context.sendToEach(queues, prefix, perQueue);
        wanted.addAll(ScenarioContext.wantedKeys(prefix, count));
        List<String> expected = ScenarioContext.wantedKeys(prefix, count);
        Inbox round = new Inbox();
        Clients.until("lite pull consumer got " + prefix, () -> {
            var messages = consumer.poll(200);
            inbox.add(messages);
            round.add(messages);
            return round.hasAll(expected) && inbox.hasAll(wanted);
        });
        consumer.commitSync();
        inbox.expectExactly("lite pull consumer", wanted, key -> context.isSentAgain(context.topic("lite"), key));
        return expected.size() + " of " + count;
    }
}
