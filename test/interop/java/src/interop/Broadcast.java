package interop;

import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageQueue;

/** Broadcasting: each of two consumers of one group gets every message once, also while the leader dies. */
final class Broadcast implements Scenario {
    private static final int PER_QUEUE = 9;

    private final ScenarioContext context;
    private final List<Inbox> inboxes = List.of(new Inbox(), new Inbox());
    private final List<DefaultMQPushConsumer> consumers = new ArrayList<>();
    private final List<String> wanted = new ArrayList<>();
    private List<MessageQueue> queues;

    Broadcast(ScenarioContext context) {
        this.context = context;
    }

    @Override
    public String name() {
        return "broadcast";
    }

    @Override
    public String before() throws Exception {
        queues = context.createTopic(context.topic("broadcast"));
        for (Inbox inbox : inboxes) {
            DefaultMQPushConsumer consumer = context.clients.pushConsumer(context.group("broadcast"));
            Version.broadcast(consumer);
            consumer.subscribe(context.topic("broadcast"), "TagA || TagB");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> {
                inbox.add(messages);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
            consumers.add(consumer);
        }
        return sendAndAwait("before");
    }

    @Override
    public String through(Middle middle) throws Exception {
        int count = middle.repeat(n ->
            context.send(context.message(context.topic("broadcast"), "swing", n), queues.get(n % queues.size())));
        wanted.addAll(ScenarioContext.wantedKeys("swing", count));
        String seen = sendAndAwait("after");
        consumers.forEach(DefaultMQPushConsumer::shutdown);
        return seen + "; " + count + " sent while the leader died";
    }

    private String sendAndAwait(String prefix) throws Exception {
        int count = PER_QUEUE * queues.size();
        context.sendToEach(queues, prefix, PER_QUEUE);
        wanted.addAll(ScenarioContext.wantedKeys(prefix, count));
        for (int i = 0; i < inboxes.size(); i++) {
            inboxes.get(i).awaitAll("consumer " + (i + 1), wanted);
            inboxes.get(i).expectExactly("consumer " + (i + 1), wanted, key -> context.isSentAgain(context.topic("broadcast"), key));
        }
        return wanted.size() + " to each of " + inboxes.size();
    }
}
