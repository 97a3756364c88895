package interop;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A consumer that shuts down leaves its offsets at the broker: the one that takes its place gets only what was sent since. One that shuts down
 * while the leader dies leaves those that it told a while before.
 */
final class Offsets implements Scenario {
    private static final int PER_QUEUE = 15;
    /** The client tells offsets every second and does not wait for an answer: the last ones may die with the leader. */
    private static final long TOLD_LAG_MS = 5000;

    private final ScenarioContext context;
    private List<MessageQueue> queues;

    Offsets(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "offsets survive";
    }

    @Override
    public String before() throws Exception {
        queues = context.createTopic(context.topic("offsets"));
        return sendAndConsume("before");
    }

    @Override
    public String through(Middle middle) throws Exception {
        Map<String, Long> consumedAt = new ConcurrentHashMap<>();
        DefaultMQPushConsumer first = start(messages ->
            messages.forEach(message -> consumedAt.putIfAbsent(message.getKeys(), System.nanoTime())));
        int count = middle.repeat(n ->
            context.send(context.message(context.topic("offsets"), "swing", n), queues.get(n % queues.size())));
        // Where there is no leader yet, nobody hears of its last offsets.
        first.shutdown();
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer second = start(inbox::add);
        context.sendToEach(queues, "between", PER_QUEUE);
        inbox.awaitAll("the second consumer", ScenarioContext.wantedKeys("between", PER_QUEUE * queues.size()));
        second.shutdown();
        List<String> allowed = new ArrayList<>(ScenarioContext.wantedKeys("between", PER_QUEUE * queues.size()));
        int again = 0;
        for (String key : ScenarioContext.wantedKeys("swing", count)) {
            Long at = consumedAt.get(key);
            boolean comes = inbox.hasAll(List.of(key));
            Clients.expect(at != null || comes, key + " was acknowledged and not consumed");
            if (at == null || at > middle.killedAt() - TOLD_LAG_MS * 1_000_000) {
                allowed.add(key);
            }
            again += at != null && comes ? 1 : 0;
        }
        inbox.expectNothingBut("the second consumer", allowed);
        return sendAndConsume("after") + ", none of the earlier; of " + count + " sent while the leader died " + again + " were consumed again";
    }

    private interface Listener {
        void consume(List<MessageExt> messages);
    }

    private DefaultMQPushConsumer start(Listener listener) throws Exception {
        DefaultMQPushConsumer consumer = context.clients.pushConsumer(context.group("offsets"));
        consumer.subscribe(context.topic("offsets"), "TagA || TagB");
        // A shutdown waits for the listeners that run, so the offsets it leaves are those of all that was consumed.
        consumer.setAwaitTerminationMillisWhenShutdown(2000);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> {
            listener.consume(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    private String sendAndConsume(String prefix) throws Exception {
        int count = PER_QUEUE * queues.size();
        context.sendToEach(queues, prefix, PER_QUEUE);
        List<String> wanted = new ArrayList<>(ScenarioContext.wantedKeys(prefix, count));
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = start(inbox::add);
        inbox.awaitAll("the consumer", wanted);
        consumer.shutdown();
        inbox.expectExactly("the consumer", wanted, key -> context.isSentAgain(context.topic("offsets"), key));
        return wanted.size() + " consumed";
    }
}
