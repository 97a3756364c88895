package interop;

import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A consumer that shut down before the failover left its offsets at the broker. The one that takes its place afterwards
 * gets only what was sent since: the offsets survived the leader.
 */
final class Offsets implements Scenario {
    private static final int PER_QUEUE = 15;

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
    public String after() throws Exception {
        return sendAndConsume("after") + ", none of the earlier";
    }

    private String sendAndConsume(String prefix) throws Exception {
        int count = PER_QUEUE * queues.size();
        context.sendToEach(queues, prefix, PER_QUEUE);
        List<String> wanted = new ArrayList<>(ScenarioContext.wantedKeys(prefix, count));
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = context.clients.pushConsumer(context.group("offsets"));
        consumer.subscribe(context.topic("offsets"), "TagA || TagB");
        // A shutdown waits for the listeners that run, so the offsets it leaves are those of all that was consumed.
        consumer.setAwaitTerminationMillisWhenShutdown(2000);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> {
            inbox.add(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        inbox.awaitAll("the consumer", wanted);
        consumer.shutdown();
        inbox.expectExactly("the consumer", wanted);
        return wanted.size() + " consumed";
    }
}
